import os
import random
import subprocess
from pathlib import Path

import pytest

from embedsearch.errors import InputError, NotFoundError
from embedsearch.text.files import Listing, list_files, printable
from embedsearch.types import Skipped
from tests.text.awkward import build_awkward


def write(root: Path, *names: str, text: str = "x") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def listed(listing: Listing, root: Path) -> list[str]:
    return [file.path.relative_to(root).as_posix() for file in listing.files]


def skipped(listing: Listing, root: Path) -> dict[str, str]:
    return {Path(s.path).relative_to(root).as_posix(): s.reason for s in listing.skipped}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path.resolve()


def test_files_come_in_order_of_their_parts_with_size_and_time(root: Path) -> None:
    write(root, "b.txt", "a-b/c.txt", "a/c.txt", "a/b/z.txt", text="four")
    listing = list_files([root])
    assert listed(listing, root) == ["a/b/z.txt", "a/c.txt", "a-b/c.txt", "b.txt"]
    status = (root / "b.txt").stat()
    assert listing.files[-1].path == root / "b.txt"
    assert (listing.files[-1].size, listing.files[-1].mtime_ns) == (4, status.st_mtime_ns)
    assert listing.skipped == ()
    assert listing.unreadable_dirs == ()


def test_paths_are_absolute(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "docs/a.txt")
    monkeypatch.chdir(root)
    assert [file.path for file in list_files([Path("docs")]).files] == [root / "docs/a.txt"]
    assert [file.path for file in list_files([Path("docs/../docs/a.txt")]).files] == [
        root / "docs/a.txt"
    ]


def test_overlapping_roots_give_no_duplicates(root: Path) -> None:
    write(root, "docs/sub/a.txt", "docs/b.txt")
    docs = root / "docs"
    listing = list_files([docs / "sub", docs, docs / "b.txt", docs])
    assert listed(listing, root) == ["docs/b.txt", "docs/sub/a.txt"]
    assert listing.skipped == ()


def test_nothing_asked_gives_nothing() -> None:
    assert list_files([]) == Listing(files=(), skipped=(), unreadable_dirs=())


@pytest.mark.parametrize("name", ["gone", "gone/below", "a.txt/below", "nul\0", "x" * 5000])
def test_a_missing_root_is_named(root: Path, name: str) -> None:
    write(root, "a.txt")
    with pytest.raises(NotFoundError, match="no such file or folder"):
        list_files([root, root / name])


def test_hidden_binary_and_ignored_files_are_one_entry_each(root: Path) -> None:
    write(
        root, "a.txt", ".secret", ".git/x/config", "picture.PNG", "x.tar.gz", "m.so", "lib.so.txt"
    )
    write(root, "node_modules/a/b.js", "node_modules/c.js", "uv.lock")
    write(root, ".gitignore", text="node_modules/\n")
    listing = list_files([root])
    assert listed(listing, root) == ["a.txt", "lib.so.txt", "uv.lock"]
    assert skipped(listing, root) == {
        ".git": "hidden",
        ".gitignore": "hidden",
        ".secret": "hidden",
        "m.so": "binary file (.so)",
        "node_modules": "named in .gitignore",
        "picture.PNG": "binary file (.png)",
        "x.tar.gz": "binary file (.tar.gz)",
    }


def test_a_file_named_as_root_is_taken_unless_it_is_binary(root: Path) -> None:
    write(root, ".env", "ignored.txt", "a.png", "a.md")
    write(root, ".gitignore", text="*.txt\n")
    named = [root / ".env", root / "ignored.txt", root / "a.png"]
    assert listed(list_files(named), root) == [".env", "ignored.txt"]
    both = list_files([root, *named], glob="*.md")
    assert listed(both, root) == [".env", "a.md", "ignored.txt"]
    assert skipped(both, root) == {"a.png": "binary file (.png)"}


def test_a_folder_named_as_root_is_walked_though_hidden_or_ignored(root: Path) -> None:
    write(root, ".notes/a.txt", "build/b.txt", "build/deep/c.txt", ".git/HEAD")
    write(root, ".gitignore", text="build\n")
    listing = list_files([root, root / ".notes", root / "build"])
    assert listed(listing, root) == [".notes/a.txt", "build/b.txt", "build/deep/c.txt"]
    assert set(skipped(listing, root)) == {".git", ".gitignore"}


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("*.md", ["a.md", "docs/b.md", "docs/deep/c.md"]),
        ("**/*.md", ["a.md", "docs/b.md", "docs/deep/c.md"]),
        ("docs/*.md", ["docs/b.md"]),
        ("./docs/*.md", ["docs/b.md"]),
        ("docs/**/*.md", ["docs/b.md", "docs/deep/c.md"]),
        ("/*.md", ["a.md"]),
        ("docs", ["docs/b.md", "docs/deep/c.md", "docs/e.txt"]),
        ("!x.md", []),
        ("[ab].md", ["a.md", "docs/b.md"]),
        ("*.none", []),
    ],
)
def test_glob_is_matched_below_the_root_and_leaves_out_silently(
    root: Path, glob: str, names: list[str]
) -> None:
    write(root, "a.md", "docs/b.md", "docs/deep/c.md", "docs/e.txt", "f.png", ".g")
    listing = list_files([root], glob=glob)
    assert listed(listing, root) == names
    assert listing.skipped == ()


def test_glob_counts_from_each_root(root: Path) -> None:
    write(root, "docs/sub/a.md", "docs/a.md")
    listing = list_files([root, root / "docs"], glob="/sub/*.md")
    assert listed(listing, root) == ["docs/sub/a.md"]


@pytest.mark.parametrize("glob", ["", "  ", "/"])
def test_a_glob_that_is_no_pattern(root: Path, glob: str) -> None:
    with pytest.raises(InputError, match="is no pattern"):
        list_files([root], glob=glob)


def test_the_collection_is_excluded_however_it_is_reached(root: Path) -> None:
    write(root, "notes/my.es/data.txt", "notes/a.txt")
    (root / "link").symlink_to(root / "notes/my.es")
    own = [root / "notes" / ".." / "notes" / "my.es", root / "gone"]
    listing = list_files([root], exclude=own)
    assert listed(listing, root) == ["notes/a.txt"]
    assert skipped(listing, root) == {"link": "excluded", "notes/my.es": "excluded"}
    assert list_files([root / "notes/my.es"], exclude=own).files == ()
    assert list_files([root / "notes/my.es/data.txt"], exclude=own).files == ()


def test_links_are_followed_and_named_by_where_they_are(root: Path) -> None:
    write(root, "outside/deep/a.txt", "docs/b.txt", "c.txt")
    (root / "docs/linked").symlink_to(root / "outside")
    (root / "docs/file.txt").symlink_to(root / "c.txt")
    listing = list_files([root / "docs"])
    assert listed(listing, root) == ["docs/b.txt", "docs/file.txt", "docs/linked/deep/a.txt"]


def test_each_folder_is_walked_once_under_its_own_name(root: Path) -> None:
    write(root, "b/real/x.txt", "a/y.txt")
    (root / "a/link").symlink_to(root / "b/real")
    (root / "a/loop").symlink_to(root)
    (root / "b/real/loop").symlink_to(root / "a")
    for roots in ([root], [root / "a", root / "b"]):
        listing = list_files(roots)
        assert listed(listing, root) == ["a/y.txt", "b/real/x.txt"]
        reasons = skipped(listing, root)
        assert reasons["a/link"] == f"the same folder as {root / 'b/real'}"
        assert reasons["b/real/loop"] == f"the same folder as {root / 'a'}"


def test_two_links_to_one_folder_outside_give_it_once(root: Path) -> None:
    write(root, "outside/x.txt")
    (root / "docs").mkdir()
    (root / "docs/one").symlink_to(root / "outside")
    (root / "docs/two").symlink_to(root / "outside")
    listing = list_files([root / "docs"])
    assert listed(listing, root) == ["docs/one/x.txt"]
    assert skipped(listing, root) == {"docs/two": f"the same folder as {root / 'docs/one'}"}


def test_a_root_that_is_a_link_to_a_file_keeps_its_name(root: Path) -> None:
    write(root, "blob")
    (root / "notes.md").symlink_to(root / "blob")
    assert listed(list_files([root / "notes.md"]), root) == ["notes.md"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_is_passed_over_even_as_root(root: Path) -> None:
    os.mkfifo(root / "pipe")
    for roots in ([root], [root / "pipe"]):
        assert skipped(list_files(roots), root) == {"pipe": "neither a file nor a folder"}


def test_unreadable_folders_are_reported(root: Path) -> None:
    write(root, "locked/a.txt", "b.txt")
    (root / "locked").chmod(0)
    try:
        if os.access(root / "locked", os.R_OK):
            pytest.skip("this user may read everything")
        listing = list_files([root])
    finally:
        (root / "locked").chmod(0o700)
    assert listed(listing, root) == ["b.txt"]
    assert skipped(listing, root) == {"locked": "folder cannot be read: permission denied"}
    assert listing.unreadable_dirs == (root / "locked",)


def test_a_folder_that_cannot_be_listed_is_unreadable(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, "locked/a.txt", "b.txt")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path == str(root / "locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = list_files([root])
    assert listed(listing, root) == ["b.txt"]
    assert skipped(listing, root) == {"locked": "folder cannot be read: permission denied"}
    assert listing.unreadable_dirs == (root / "locked",)


def test_a_link_into_what_may_not_be_read_says_nothing_of_its_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, "a/b.txt", "a/c.txt")
    for link, target in (("locked", "elsewhere"), ("below", "b.txt/x")):
        (root / "a" / link).symlink_to(target)
    stat = Path.stat

    def refuse(path: Path, **options: bool) -> os.stat_result:
        if path == root / "a/locked":
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    listing = list_files([root])
    assert listed(listing, root) == ["a/b.txt", "a/c.txt"]
    assert skipped(listing, root) == {"a/below": "broken link", "a/locked": "permission denied"}
    assert listing.unreadable_dirs == (root / "a/locked",)


def test_names_that_are_not_unicode_are_shown_escaped(root: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        (root / name).write_text("x")
    except (OSError, ValueError):
        pytest.skip("this file system holds no such name")
    assert list_files([root]).skipped == (
        Skipped(path=f"{root}{os.sep}caf\\xe9.png", reason="binary file (.png)"),
    )
    assert printable("plain é") == "plain é"


def test_awkward_files(tmp_path: Path) -> None:
    """What the walk passes over; the rest is for the readers, and is listed."""
    expected = build_awkward(tmp_path)
    root = tmp_path.resolve()
    listing = list_files([root])
    by_walk = ("hidden", "(.png)", "same folder", "broken link", "itself", "neither a file")
    passed = {n for n, reason in expected.items() if any(part in reason for part in by_walk)}
    assert {printable(name) for name in passed} == set(skipped(listing, root))
    assert set(listed(listing, root)) == set(expected) - passed


# --- .gitignore, with git itself as the oracle ---------------------------------------------------

NAMES = [*"a b é foo bar x.md y.txt z.log docs build é.md [x]".split(), "a b"]
PATTERNS = """a;b;foo;/foo;foo/;docs/;!docs/;*.md;!x.md;/x.md;foo/*;foo/**;**/foo;a/**/b;!foo/bar
docs/*.txt;*.txt;!*.txt;/docs/;**/;*/;/*;!/docs;a\\ b;# c;;!;/;\\[x\\];[a-b];?;*.l?g;build/;!build/
docs/build;**/build/x.md;*/foo;bar ;é*;foo/bar/;!foo/;**;!**/x.md;doc[!a]
[z-a];[;a**b;[[:alpha:]];/[[:lower:]_]*/;[![:digit:]].md;[[:no:]];[[:x];[]x];[a\\]b]*
/a**/foo;foo/**b;b\t;b\\  ;[^a-x]*;?.md;***;\\!x"""


def grow(folder: Path, chance: random.Random, depth: int) -> None:
    for name in chance.sample(NAMES, chance.randint(2, 6)):
        if "." not in name and depth < 3 and chance.random() < 0.6:
            (folder / name).mkdir()
            grow(folder / name, chance, depth + 1)
        else:
            (folder / name).write_text("x")
    if chance.random() < (0.3 if depth else 0.9):
        patterns = chance.choices(PATTERNS.replace("\n", ";").split(";"), k=chance.randint(1, 5))
        end = chance.choice(["\n", "\r\n", ""])
        text = chance.choice(["\n", "\r\n"]).join(patterns) + end
        (folder / ".gitignore").write_bytes(text.encode())


def git_lists(repository: Path) -> set[str]:
    command = ["git", "ls-files", "--others", "--exclude-standard", "-z"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, check=True)
    names = done.stdout.decode().split("\0")
    return {name for name in names if name and not name.rpartition("/")[2].startswith(".")}


@pytest.mark.parametrize("seed", range(25))
def test_gitignore_as_git_reads_it(root: Path, seed: int) -> None:
    try:
        subprocess.run(["git", "init", "-q", str(root)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git is not installed")
    grow(root, random.Random(seed), 0)
    expected = git_lists(root)
    assert set(listed(list_files([root]), root)) == expected
    for name in ("docs", "foo"):  # a folder below the root obeys the rules above it
        if any(path.startswith(f"{name}/") for path in expected):
            below = {path for path in expected if path.startswith(f"{name}/")}
            assert set(listed(list_files([root / name]), root)) >= below


def test_a_pattern_of_many_stars_is_matched_at_once(root: Path) -> None:
    """Trying every place for every star would take longer than anybody lives."""
    name = "a" * 200
    write(root, name, f"{name}b", f"{'a/' * 40}x")
    write(root, ".gitignore", text="*a" * 60 + "*b\n" + "*a*/" * 40 + "y\n")
    assert set(listed(list_files([root]), root)) == {name, f"{'a/' * 40}x"}


def test_rules_above_the_root_count_up_to_the_repository(root: Path) -> None:
    write(root, "repo/docs/a.log", "repo/docs/a.txt", "repo/docs/skip.txt", "repo/.git/HEAD")
    write(root, "repo/.gitignore", text="*.log\n/docs/skip.txt\n")
    write(root, ".gitignore", text="*.txt\n")
    assert listed(list_files([root / "repo/docs"]), root) == ["repo/docs/a.txt"]


def test_without_a_repository_only_rules_below_the_root_count(root: Path) -> None:
    write(root, "docs/a.log", "docs/sub/a.txt", "docs/sub/b.txt")
    write(root, ".gitignore", text="*.log\n")
    write(root, "docs/sub/.gitignore", text="b.txt\n")
    assert listed(list_files([root / "docs"]), root) == ["docs/a.log", "docs/sub/a.txt"]


def test_a_repository_inside_does_not_obey_the_outer_rules(root: Path) -> None:
    write(root, "inner/a.log", "inner/.git/HEAD", "b.log")
    write(root, ".gitignore", text="*.log\n")
    assert listed(list_files([root]), root) == ["inner/a.log"]


def test_a_gitignore_that_cannot_be_read_is_reported(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, "a.txt")
    write(root, ".gitignore", text="a.txt\n")
    opened = Path.open

    def refuse(path: Path, mode: str = "r") -> object:
        if path.name == ".gitignore":
            raise PermissionError(13, "Permission denied")
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", refuse)
    listing = list_files([root])
    assert listed(listing, root) == ["a.txt"]
    assert skipped(listing, root) == {".gitignore": "permission denied: its rules are not applied"}


def test_no_file_but_gitignore_is_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "a.txt", "b/c.md")
    write(root, ".gitignore", text="b.txt\n")
    opened: list[str] = []
    original = Path.open

    def record(path: Path, mode: str = "r") -> object:
        opened.append(path.name)
        return original(path, mode)

    monkeypatch.setattr(Path, "open", record)
    list_files([root])
    assert opened == [".gitignore"]
