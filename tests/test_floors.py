"""The arrows between rooms: a room imports only rooms below it, and nobody but the composition knows the settings."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "lading"

# From the top of the house to its ground.
FLOORS = (
    "cli", "app", "edge", "ui", "cluster", "policies", "scanning", "trust", "registry", "accounts", "jobs", "events", "web",
    "access", "blobs", "keys", "database", "core",
)  # fmt: skip
COMPOSITION = {"cli", "app"}
BESIDE = {"settings", "logs"}  # not rooms; for the composition only


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.Module) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            found.append((node.lineno, "a relative import"))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lading."):
            found.append((node.lineno, node.module.split(".")[1]))
        elif isinstance(node, ast.ImportFrom) and node.module == "lading":
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(node.lineno, a.name.split(".")[1]) for a in node.names if a.name.startswith("lading.")]
    return found


def strangers(path: Path) -> list[str]:
    room = room_of(path)
    problems = []
    for line, other in imported_rooms(ast.parse(path.read_text())):
        if other in {room, "__version__"} or (other in BESIDE and (room in COMPOSITION or room in BESIDE)):
            continue
        below = FLOORS[FLOORS.index(room) + 1 :] if room in FLOORS else ("core",)
        if other not in below:
            problems.append(f"{path.relative_to(SOURCE)}:{line} imports {other}")
    return problems


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_room_imports_only_rooms_below_it(path: Path) -> None:
    assert strangers(path) == []


def test_every_folder_is_a_room_on_a_floor() -> None:
    folders = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= set(FLOORS)


def test_an_arrow_upward_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    stranger = tmp_path / "core" / "names.py"
    stranger.parent.mkdir()
    stranger.write_text("from lading.registry.store import find_blob\n")
    assert strangers(stranger) == ["core/names.py:1 imports registry"]
