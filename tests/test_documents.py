"""The documents agree with the files, tests, licences and settings they mention."""

import ast
import hashlib
import re
from pathlib import Path

from tools import licences
from web.rendering.versions import version

ROOT = Path(__file__).parents[1]
SECURITY = (ROOT / "docs" / "security.md").read_text()
FEATURES = (ROOT / "docs" / "reading.md").read_text()
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
FOLDERS = "alembic|bench|dbapi|deploy|dev|docs|kit|llama|proxy|requirements|tests|tools|web"
ROWS = {"A": 25, "B": 15, "C": 8, "D": 12, "E": 13, "F": 25, "G": 34, "I": 5}
PERMISSIVE = {"MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0", "MPL-2.0", "0BSD", "ISC"}
TOOLS = {"GPL-3.0"}  # allowed for tools that only tests run, which are neither shipped nor imported


def test_every_threat_has_a_row_with_a_test_or_a_reason() -> None:
    rows = re.findall(r"^\| ([A-I]\d\d) \| (.+) \| (.+) \|$", SECURITY, re.MULTILINE)

    assert [name for name, _, _ in rows] == [
        f"{letter}{number:02}" for letter, count in ROWS.items() for number in range(1, count + 1)
    ]
    without = {name: seen for name, _, seen in rows if "::test_" not in seen}
    assert all(re.search(r"no test|there is no ", seen) for seen in without.values()), without
    assert len(without) <= 6


def test_every_test_named_in_a_document_exists() -> None:
    named = set(re.findall(r"`([\w/]+\.py)::(\w+)`", SECURITY + FEATURES))

    missing = [f"{file}::{name}" for file, name in named if name not in functions(ROOT / "tests" / file)]

    assert len(named) > 140
    assert missing == []


def test_every_feature_names_its_test() -> None:
    named = re.findall(r"`([^`]*::[^`]*)`", FEATURES)

    assert len(named) > 40
    assert [name for name in named if not re.fullmatch(r"[\w/]+\.py::test_\w+", name)] == []


def test_every_path_named_in_a_document_exists() -> None:
    named = {
        (document.name, path)
        for document in DOCUMENTS
        for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", document.read_text())
    }

    assert len(named) > 150
    assert [
        (name, path) for name, path in named if not any((root / path).exists() for root in (ROOT, ROOT / "tests"))
    ] == []


def functions(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_licence_is_listed_and_permitted() -> None:
    listed = licences.text()

    assert (ROOT / "docs" / "licences.md").read_text() == listed, "run `make licences`"
    packages = re.findall(r"^\| [\w.-]+ \| (.+) \| ((?:web|dbapi|dev|test)[a-z, ]*) \|$", listed, re.MULTILINE)
    assert len(packages) > 40
    for licence, needed_by in packages:
        words = set(re.split(r" AND | OR |[()]|, with axe-core: ", licence)) - {""}
        assert words <= PERMISSIVE | (TOOLS if needed_by == "test" else set()), licence


def test_every_setting_of_a_service_is_in_env_example() -> None:
    example = (ROOT / ".env.example").read_text()

    for service in ("dev", "web", "dbapi", "llama"):
        tree = ast.parse((ROOT / service / "settings.py").read_text())
        (settings,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
        names = [
            field.target.id.upper()
            for field in settings.body
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        ]
        assert names
        assert [name for name in names if not re.search(rf"\b{name}\b", example)] == []


def test_vendored_files_have_the_reviewed_checksums() -> None:
    static = ROOT / "web" / "static"
    listed = re.findall(r"^\| `([\w.-]+)` .* ([0-9a-f]{64}) \|$", (static / "README.md").read_text(), re.MULTILINE)

    assert len(listed) == 3
    for name, checksum in listed:
        assert hashlib.sha256((static / name).read_bytes()).hexdigest() == checksum, name


def test_the_style_sheet_names_the_version_of_the_font() -> None:
    static = ROOT / "web" / "static"

    assert (
        f"/static/stix-two-math.woff2?v={version((static / 'stix-two-math.woff2').read_bytes())}"
        in (static / "app.css").read_text()
    )
