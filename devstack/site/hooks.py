"""Hooks of MkDocs: documents beside README.md become pages, links between documents hold, lists are read as on GitHub.

The Markdown is written for the code host, and stays as it is. A link that leads to a file which is no document fails
the build, because the site has no such page.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# Each document beside docs/, and the page that it is.
BESIDE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security-policy.md",
}
SOURCES = {page: source for source, page in BESIDE.items()}
LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")
IMAGE = re.compile(r'(<(?:img|source) [^>]*src(?:set)?=")(?!\w+:)([^"]+)(")')
NAMED = re.compile(r"(?<!\[)`((?:docs/[\w/.-]+|ARCHITECTURE|CONTRIBUTING|CHANGELOG|SECURITY|README)\.md)`(?!\])")
ITEM = re.compile(r"(?:\d+\.|[-*]) ")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the documents beside docs/."""
    for source, page in BESIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The text of a page with the links of the site, as Python-Markdown reads it."""
    name = page.file.src_uri
    if name.startswith("decisions/"):
        page.meta.setdefault("search", {"boost": 0.2})  # who searches wants to do or to look up first
    return "\n".join(as_read_by_github(linked(markdown, name).splitlines())) + "\n"


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Gives the theme's dialog for searching a name, which readers of screens need."""
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')


def linked(markdown: str, page: str) -> str:
    """The text with links that lead from this page, and documents that are named only as links."""
    source = SOURCES.get(page, f"docs/{page}")

    def target(path: str) -> str:
        full = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        return posixpath.relpath(page_of(full), posixpath.dirname(page) or ".")

    def link(found: re.Match[str]) -> str:
        return f"]({target(found[1])}{found[2] or ''})"

    def naming(found: re.Match[str]) -> str:
        path = page_of(found[1])
        return found[0] if path == page else f"[{found[0]}]({posixpath.relpath(path, posixpath.dirname(page) or '.')})"

    lines = []
    for line in markdown.splitlines():
        if not line.startswith("    "):
            line = LINK.sub(link, line)
            line = IMAGE.sub(lambda found: found[1] + target(found[2]) + found[3], line)
            if not line.startswith("#"):
                line = NAMED.sub(naming, line)
        lines.append(line)
    return "\n".join(lines)


def page_of(path: str) -> str:
    """The page or file of the site that a path of the repository is; what the site lacks stays, and fails the build."""
    if path in BESIDE:
        return BESIDE[path]
    inside = path.removeprefix("docs/")
    return f"{inside}/README.md" if (ROOT / path).is_dir() else inside


def as_read_by_github(lines: list[str]) -> list[str]:
    """Python-Markdown wants an empty line before a list, and four spaces before what belongs to its items."""
    made: list[str] = []
    is_fenced, width = False, 0  # of the mark of the list's item
    for line in lines:
        if line.startswith("```"):
            is_fenced = not is_fenced
        if is_fenced:
            made.append(line)
            continue
        item = ITEM.match(line)
        if item:
            if made and made[-1] and not width:
                made.append("")
            width = len(item[0])
        elif line and not line.startswith(" "):
            width = 0
        elif width and line.startswith(" " * width):
            line = " " * max(4 - width, 0) + line
        made.append(line)
    return made
