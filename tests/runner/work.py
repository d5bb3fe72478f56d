"""Kinds of work in a clone that would be lost with it, each made by a function of its folder."""

import os
import subprocess

from reconcile.runner.local_changes import read_origin

ENVIRON = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "A" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "a@example.com" for who in ("AUTHOR", "COMMITTER")},
}


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(command, env=ENVIRON, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder):
    (folder / "a.txt").write_text("work")
    git(folder, "commit", "-qam", "work")


def untracked(folder):
    (folder / "new.txt").write_text("work")


def untracked_in_folder(folder):
    (folder / "new").mkdir()
    (folder / "new" / "file").write_text("work")


def modified(folder):
    (folder / "a.txt").write_text("work")


def same_size_and_time(folder):
    path = folder / "a.txt"
    status = path.stat()
    path.write_text("A.txt")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def deleted(folder):
    (folder / "a.txt").unlink()


def staged(folder):
    (folder / "new.txt").write_text("work")
    git(folder, "add", "new.txt")


def staged_and_gone(folder):
    staged(folder)
    (folder / "new.txt").unlink()


def mode_changed(folder):
    (folder / "a.txt").chmod(0o755)


def stashed(folder):
    (folder / "a.txt").write_text("work")
    git(folder, "stash", "-q")


def unpushed_on_another_branch(folder):
    git(folder, "checkout", "-qb", "work")
    commit(folder)
    git(folder, "checkout", "-q", "main")


def unpushed_on_detached_head(folder):
    git(folder, "checkout", "-q", "--detach")
    commit(folder)


def unpushed_on_a_tag(folder):
    unpushed_on_detached_head(folder)
    git(folder, "tag", "work")
    git(folder, "checkout", "-q", "main")


def unpushed_on_another_ref(folder):
    unpushed_on_detached_head(folder)
    git(folder, "update-ref", "refs/agent/work", "HEAD")
    git(folder, "checkout", "-q", "main")


def without_remote_branches(folder):
    git(folder, "remote", "remove", "origin")


def worktree(folder):
    git(folder, "worktree", "add", "-q", "--detach", str(folder.parent / f"{folder.name}-worktree"))


def assumed_unchanged(folder):
    git(folder, "update-index", "--assume-unchanged", "a.txt")
    modified(folder)


def skipped(folder):
    git(folder, "update-index", "--skip-worktree", "a.txt")
    modified(folder)


def overlooked_by_configuration(folder):
    git(folder, "config", "status.showUntrackedFiles", "no")
    untracked(folder)


def excluded_by_configuration(folder):
    (folder.parent / f"{folder.name}-excludes").write_text("*\n")
    git(folder, "config", "core.excludesFile", str(folder.parent / f"{folder.name}-excludes"))
    untracked(folder)


def another_work_tree(folder):
    git(folder, "config", "core.worktree", str(folder.parent / f"{folder.name}-elsewhere"))
    untracked(folder)


def nested_repository(folder):
    git(folder, "init", "-q", "inner")


def submodule_with_work(folder):
    git(folder, "submodule", "--quiet", "add", read_origin(folder), "inner")
    git(folder, "commit", "-qm", "submodule")
    git(folder, "push", "-q", "origin", "HEAD:refs/heads/submodule")
    untracked(folder / "inner")


def cherry_pick_under_way(folder):
    (folder / ".git" / "CHERRY_PICK_HEAD").write_text(git(folder, "rev-parse", "HEAD"))


def rebase_under_way(folder):
    (folder / ".git" / "rebase-merge").mkdir()


def damaged_head(folder):
    (folder / ".git" / "HEAD").write_text("damaged")


def damaged_branch(folder):
    (folder / ".git" / "refs" / "heads" / "main").write_text("damaged")


def missing_object(folder):
    (folder / ".git" / "refs" / "heads" / "work").write_text("1" * 40 + "\n")


def damaged_index(folder):
    (folder / ".git" / "index").write_bytes(b"damaged")


def without_repository(folder):
    (folder / ".git").rename(folder.parent / f"{folder.name}-moved.git")


def repository_elsewhere(folder):
    (folder / ".git").rename(folder.parent / f"{folder.name}-moved.git")
    (folder / ".git").write_text(f"gitdir: {folder.parent}/{folder.name}-moved.git\n")


def linked_repository(folder):
    (folder / ".git").rename(folder.parent / f"{folder.name}-moved.git")
    (folder / ".git").symlink_to(folder.parent / f"{folder.name}-moved.git")


def linked_folder(folder):
    folder.rename(folder.parent / f"{folder.name}-moved")
    folder.symlink_to(folder.parent / f"{folder.name}-moved")


def linked_parent(folder):
    moved = folder.parent.parent / "moved"
    folder.parent.rename(moved)
    folder.parent.symlink_to(moved)


def file_instead(folder):
    folder.rename(folder.parent / f"{folder.name}-moved")
    folder.write_text("work")


def own_repository(folder):
    without_repository(folder)
    git(folder, "init", "-q")


DIRTY = [
    commit, untracked, untracked_in_folder, modified, same_size_and_time, deleted, staged,
    staged_and_gone, mode_changed, stashed, unpushed_on_another_branch, unpushed_on_detached_head,
    unpushed_on_a_tag, unpushed_on_another_ref, without_remote_branches, worktree,
    assumed_unchanged, skipped, overlooked_by_configuration, excluded_by_configuration,
    another_work_tree, nested_repository, submodule_with_work, cherry_pick_under_way,
    rebase_under_way, damaged_head, damaged_branch, missing_object, damaged_index,
    without_repository, repository_elsewhere, linked_repository, linked_folder, linked_parent,
    file_instead, own_repository,
]  # fmt: skip
COMBINABLE = [
    untracked, untracked_in_folder, modified, deleted, staged, mode_changed, stashed,
    unpushed_on_another_branch, unpushed_on_detached_head, assumed_unchanged, nested_repository,
]  # fmt: skip
