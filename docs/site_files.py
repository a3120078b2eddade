"""A hook of mkdocs: files of the repository that are pages of the site too, and links that work in both places.

Links in all Markdown files are relative to the file, so that they work wherever the repository is read. The site has
the files of docs/, and those of `PAGES` at the paths given there. A link to a file that is no page of the site becomes
its text alone.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = {  # path in the repository -> path in the site
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
    "simulations/results/README.md": "simulations/results/README.md",
}
SHOWN_AS = {"surp_fl/FORMAT.md": "format.md"}  # included in a page of docs/
_PICTURES = "simulations/results/**/*.png"
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files that are not in docs/."""
    from mkdocs.structure.files import File

    pictures = {str(picture.relative_to(ROOT)): str(picture.relative_to(ROOT)) for picture in ROOT.glob(_PICTURES)}
    for source, page in {**PAGES, **pictures}.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    source = next((path for path, shown in PAGES.items() if shown == here), f"docs/{here}")

    def link(found: re.Match[str]) -> str:
        picture, text, target = found.groups()
        path, hash_, heading = target.partition("#")
        if not path or "://" in path:
            return found.group(0)
        to = page_of(posixpath.normpath(posixpath.join(posixpath.dirname(source), path)))
        if to is None or files.get_file_from_path(to) is None:
            return text
        return f"{picture}[{text}]({posixpath.relpath(to, posixpath.dirname(here) or '.')}{hash_}{heading})"

    return _LINK.sub(link, markdown)


def page_of(path: str) -> str | None:
    """Where in the site a file of the repository is; None for one that is not in it."""
    if path in PAGES or path in SHOWN_AS:
        return {**PAGES, **SHOWN_AS}[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return path if path.endswith(".png") else None
