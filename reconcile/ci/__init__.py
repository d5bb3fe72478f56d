"""Reviews pull requests on GitHub and GitLab; runs `reconcile` by its command line only."""
