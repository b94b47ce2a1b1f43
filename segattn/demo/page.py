"""The page's layout in Gradio: which control calls what. What is computed and drawn is in the modules beside it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from segattn.data.files.pixels import Reading
from segattn.demo import cards, figure, pictures, uploads
from segattn.demo.explorer import Explorer, Points, default_points, read_points
from segattn.demo.pictures import Picture

ASSETS = Path(__file__).parent / "assets"
OPACITY = 70
"""Per cent, of the colours over the picture, until the slider is moved."""
_COLLECT = """(view, names, opacity, shown) => [view, names, opacity, JSON.stringify(Object.fromEntries(
  [...document.querySelectorAll(".card select")].map((each) => [each.closest(".card").dataset.network, each.value])))]"""
_SAVE = """(picture) => { if (!picture) return;
  const link = document.createElement("a"); link.href = picture; link.download = "segattn-explorer.png"; link.click(); }"""
_OPACITY = "(value) => { document.documentElement.style.setProperty('--opacity', value / 100); }"


@dataclass(frozen=True, eq=False)
class View:
    """What a visitor looks at."""

    picture: Picture
    points: Points


class Page:
    """What the controls do. Each yields the HTML of picture and results, a message and the new view."""

    def __init__(self, explorer: Explorer, *, max_side: int, folder: Path) -> None:
        self.explorer, self.max_side, self.folder = explorer, max_side, folder.resolve()
        model = next(iter(explorer.networks.values())).model
        self.how = pictures.reading_of_uploads(model)
        self.samples = pictures.samples(model, max_side) if model.in_channels != 3 else None

    def open(self, names: list[str]) -> Iterator[list[Any]]:
        yield from self._show(
            lambda: self._example(next(iter(pictures.EXAMPLES)) if self.samples is None else 0), names
        )

    def choose(self, names: list[str], event: gr.EventData) -> Iterator[list[Any]]:
        yield from self._show(lambda: self._example(_data(event).get("index")), names)

    def upload(self, names: list[str], event: gr.EventData) -> Iterator[list[Any]]:
        yield from self._show(lambda: self._upload(_data(event).get("taken"), _data(event).get("name")), names)

    def point(self, view: View | None, names: list[str], event: gr.EventData) -> Iterator[list[Any]]:
        yield from self._again(
            view, names, lambda current: replace(current, points=read_points(_data(event), current.picture))
        )

    def networks(self, view: View | None, names: list[str]) -> Iterator[list[Any]]:
        yield from self._again(view, names, lambda current: current)

    def download(self, view: View | None, names: list[str], opacity: float, shown: str) -> Iterator[tuple[str, str]]:
        """The figure as a data URI, and a message."""
        yield "", message("Drawing the figure …")
        try:
            if view is None:
                raise ValueError("Choose a picture first.")
            seen = self.explorer.see(view.picture, view.points, names)
            drawn = figure.draw(seen, view.picture, view.points, opacity=opacity / 100, shown=_shown(shown))
        except ValueError as error:
            yield "", message(str(error), bad=True)
            return
        picture = base64.b64encode(drawn).decode()
        yield f"data:image/png;base64,{picture}", message("The figure has been downloaded.")

    def _example(self, index: Any) -> View:
        if self.samples is not None and (type(index) is not int or not 0 <= index < len(self.samples)):
            raise ValueError(f"Upload a picture of {_bands(self.how)}: the networks do not take RGB.")
        picture = pictures.example(index, self.max_side) if self.samples is None else self.samples[index]
        return View(picture, default_points(picture))

    def _upload(self, taken: Any, name: Any) -> View:
        """`taken` is the path that the server gave when it took the file; None if it did not."""
        name = Path(str(name or "")).name[:80] or "the file"
        if taken is None:
            raise ValueError(f"{name}: not accepted; a file may have at most {pictures.MAX_FILE_BYTES // 2**20} MB")
        file = Path(str(taken)).resolve()
        if not file.is_relative_to(self.folder) or not file.is_file():
            raise ValueError(f"{name}: was not uploaded")
        try:
            picture = pictures.upload(file, self.max_side, name=name, how=self.how)
        finally:
            uploads.remove(file)
        return View(picture, default_points(picture))

    def _show(self, load: Any, names: list[str]) -> Iterator[list[Any]]:
        """The new picture at once, then the networks one by one, then their results."""
        try:
            view: View = load()
        except ValueError as error:
            yield [gr.skip(), gr.skip(), message(str(error), bad=True), gr.skip()]
            return
        yield [cards.stage(view.picture, view.points), gr.skip(), message("Running the networks …"), view]
        yield from self._results(view, names)

    def _again(self, view: View | None, names: list[str], change: Any) -> Iterator[list[Any]]:
        try:
            if view is None:
                raise ValueError("Choose a picture first.")
            view = change(view)
        except ValueError as error:
            yield [gr.skip(), gr.skip(), message(str(error), bad=True), gr.skip()]
            return
        yield from self._results(view, names)

    def _results(self, view: View, names: list[str]) -> Iterator[list[Any]]:
        try:
            for name in self.explorer.prepare(view.picture, names):
                yield [gr.skip(), gr.skip(), message(f"Running {name} on the picture …"), gr.skip()]
            seen = self.explorer.see(view.picture, view.points, names)
        except ValueError as error:
            yield [gr.skip(), gr.skip(), message(str(error), bad=True), view]
            return
        yield [
            gr.skip(),
            cards.results(seen, view.picture),
            message(self.explorer.unusual(view.picture, names), bad=True),
            view,
        ]


def _bands(how: Reading) -> str:
    if isinstance(how.bands, tuple):
        return f"{max(band for band in how.bands if isinstance(band, int))} bands or more"
    return f"{how.bands} band{'' if how.bands == 1 else 's'}"


def message(text: str, *, bad: bool = False) -> str:
    """A line of the page; errors are announced to screen readers too."""
    if not text:
        return ""
    kind = 'class="bad" role="alert"' if bad else 'role="status"'
    return f"<p {kind}>{html.escape(text)}</p>"


def events(blocks: gr.Blocks) -> dict[int, list[Callable[[Any], bool]]]:
    """The events that the page's controls send, by Gradio's number, each with a check of every value that comes with it."""
    return {
        number: [_check(each) for each in event.inputs] for number, event in blocks.fns.items() if event.fn is not None
    }


def _check(control: Any) -> Callable[[Any], bool]:
    """Whether a value can come from this control; Gradio raises for others, and prints why with a traceback."""
    if isinstance(control, gr.CheckboxGroup):
        names = [value for _, value in control.choices]
        return lambda value: isinstance(value, list) and all(each in names for each in value)
    if isinstance(control, gr.Slider):
        return lambda value: type(value) in (int, float) and control.minimum <= value <= control.maximum
    if isinstance(control, gr.Textbox):
        return lambda value: isinstance(value, str)
    return lambda value: True  # a State: the server has its own


def _data(event: gr.EventData) -> dict[str, Any]:
    """What the page's script sent; untrusted, since any script can send it."""
    return event._data if isinstance(event._data, dict) else {}


def _shown(text: str) -> dict[str, str]:
    """The maps that are selected in the page, by network; anything else that is sent selects none."""
    try:
        raw = json.loads(text)
    except ValueError:
        return {}
    return {str(name): str(chosen) for name, chosen in raw.items()} if isinstance(raw, dict) else {}


def build(explorer: Explorer, *, max_side: int, source: str, folder: Path) -> gr.Blocks:
    """The page. `source` says in a line where the networks come from; uploads are in `folder`."""
    page, names = Page(explorer, max_side=max_side, folder=folder), list(explorer.networks)
    settings: Any = {"concurrency_limit": 1, "concurrency_id": "networks", "api_visibility": "private"}
    with gr.Blocks(title="segattn explorer", analytics_enabled=False, delete_cache=(600, 600)) as blocks:
        view = gr.State(None)
        gr.HTML(
            "<h1>Where does a network look?</h1><p>Click a pixel to see each network’s attention from there, the class that it "
            f"predicts, and what the network costs. <span class='quiet'>{html.escape(source)}</span></p>",
            elem_id="title",
        )
        with gr.Row(elem_id="columns"):
            with gr.Column(elem_id="left", min_width=300):
                stage = gr.HTML("", js_on_load=_read("stage.js"), elem_id="stage")
                status = gr.HTML("", elem_id="status")
                examples = gr.HTML(
                    cards.examples(page.samples),
                    js_on_load=_read("examples.js").replace("LIMIT", str(pictures.MAX_FILE_BYTES)),
                    elem_id="examples",
                )
                opacity = gr.Slider(0, 100, OPACITY, step=5, label="Opacity of the colours, %", elem_id="opacity")
                chosen = gr.CheckboxGroup(names, value=names, label="Networks", elem_id="networks")
                download = gr.Button("Download the figure", elem_id="download", size="md")
            with gr.Column(elem_id="right", min_width=300):
                results = gr.HTML("", js_on_load=_read("cards.js"), elem_id="results")
        shown, drawn = gr.Textbox(visible=False), gr.Textbox(visible=False)
        outputs: Any = {"outputs": [stage, results, status, view], "show_progress": "hidden", **settings}
        blocks.load(page.open, [chosen], **outputs)
        examples.example(page.choose, [chosen], trigger_mode="always_last", **outputs)
        examples.upload(page.upload, [chosen], **outputs)
        stage.point(page.point, [view, chosen], trigger_mode="always_last", **outputs)
        chosen.input(page.networks, [view, chosen], trigger_mode="always_last", **outputs)
        opacity.change(None, opacity, None, js=_OPACITY, api_visibility="private")
        download.click(
            page.download, [view, chosen, opacity, shown], [drawn, status], js=_COLLECT, show_progress="hidden", **settings,
        ).then(None, drawn, None, js=_SAVE, api_visibility="private")  # fmt: skip
    blocks.queue(max_size=64, default_concurrency_limit=1, api_open=False)
    return blocks


def _read(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
