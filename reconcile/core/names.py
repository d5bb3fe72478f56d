"""The labels, annotations and object names that are a contract with people and other tools."""

from typing import Final

PREFIX: Final = "reconcile.ambient-code.io/"
"""Every label and annotation of ours starts so; session files may not set one."""

LABEL_INSTALLATION: Final = PREFIX + "installation"
"""Whose object this is: the one label that live state is selected by."""

LABEL_SESSION: Final = PREFIX + "session"
"""The session that the object belongs to."""

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
"""Kubernetes' own word for the tool in charge; its value is `MANAGER`."""

ANNOTATION_DIGEST: Final = PREFIX + "digest"
"""The digest of the body that was applied last, so that drift can be told from a commit."""

ANNOTATION_ADOPT: Final = PREFIX + "adopt"
"""Set by hand on a stranger's object to an installation's id: that installation may take it."""

MANAGER: Final = "reconcile"
"""Our field manager; what it owns in managedFields is what we declared last."""

STATUS_MANAGER: Final = "reconcile-status"
"""The manager of what is observed, so that status never shows up in a plan."""

RECORD_PREFIX: Final = "session-"
"""A session's Record is the ConfigMap of this prefix and the session's name."""

INVENTORY_PREFIX: Final = "reconcile-inventory-"
"""An installation's inventory is the ConfigMap of this prefix and the installation's id."""

NOTE_KEY: Final = "status"
"""The key of a Record's data under which the last pass that changed something left its note."""
