"""How pictures are drawn: the choices that change them, with the WebUI's defaults."""

from __future__ import annotations

from dataclasses import dataclass

from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.models.encode import EMPHASES, TextStyle

SIZE_STEP = 8
MAX_STEPS = 1000
MAX_GUIDANCE = 1000
NOISE_SOURCES = ("GPU", "CPU", "NV")


@dataclass(frozen=True)
class Sampler:
    """A sampler by its name here, and by the two names that the WebUI writes into pictures."""

    name: str
    title: str
    schedule_title: str = "Automatic"
    is_ancestral: bool = False


SAMPLERS = {
    sampler.name: sampler
    for sampler in (
        Sampler("euler", "Euler"),
        Sampler("euler a", "Euler a", is_ancestral=True),
        Sampler("ddim", "DDIM"),
        Sampler("dpm++ 2m karras", "DPM++ 2M", "Karras"),
        Sampler("unipc", "UniPC"),
    )
}


@dataclass(frozen=True)
class PictureSettings:
    """Everything beside the model and the prompt that a picture depends on."""

    sampler: str = "euler a"  # a key of SAMPLERS
    steps: int = 20
    guidance: float = 7.0
    width: int = 512
    height: int = 512
    seed: int = 0  # of the first picture; the next ones count up
    noise_source: str = "GPU"  # one of NOISE_SOURCES
    ensd: int = 0  # the WebUI's "eta noise seed delta"
    eta: float = 1.0  # how much noise ancestral samplers add; DDIM adds none
    clip_skip: int = 1
    emphasis: str = "Original"  # one of EMPHASES
    comma_backtrack: int = 20  # the WebUI's "prompt word wrap length limit"
    vae: str = ""  # the name of a VAE that is not the checkpoint's own, for the picture's text
    is_zero_terminal: bool = False  # the WebUI's "noise schedule for sampling: Zero Terminal SNR"
    text_kind: str = "webui"  # or "kohya", for pictures as kohya's scripts draw them
    max_tokens: int = 75  # only with "kohya"
    batch_size: int = 1  # only speed and memory depend on it
    is_striped: bool = (
        False  # decodes in stripes: less memory, the same picture; done anyway where memory is short
    )

    @property
    def text_style(self) -> TextStyle:
        """How prompts become states."""
        return TextStyle(self.text_kind, self.emphasis, self.comma_backtrack, self.clip_skip, self.max_tokens)

    def check(self) -> None:
        """Raises SettingsError with everything that is wrong."""
        problems = [
            UserError(f"{value!r} is not possible.", where=field, todo=todo)
            for field, value, is_good, todo in self._rules()
            if not is_good
        ]
        if problems:
            raise SettingsError(problems)

    def _rules(self) -> list[tuple[str, object, bool, str]]:
        sizes = f"Choose a multiple of {SIZE_STEP} from 64 to 4096."
        return [
            ("sampler", self.sampler, self.sampler in SAMPLERS, _one_of(SAMPLERS)),
            ("steps", self.steps, 1 <= self.steps <= MAX_STEPS, f"Choose 1 to {MAX_STEPS}."),
            ("guidance", self.guidance, abs(self.guidance) <= MAX_GUIDANCE, f"Choose 0 to {MAX_GUIDANCE}."),
            ("width", self.width, _is_size(self.width), sizes),
            ("height", self.height, _is_size(self.height), sizes),
            ("noise_source", self.noise_source, self.noise_source in NOISE_SOURCES, _one_of(NOISE_SOURCES)),
            ("emphasis", self.emphasis, self.emphasis in EMPHASES, _one_of(EMPHASES)),
            ("clip_skip", self.clip_skip, 1 <= self.clip_skip <= 12, "Choose 1 to 12."),
            ("seed", self.seed, 0 <= self.seed < 2**63, "Choose 0 or more."),
            ("max_tokens", self.max_tokens, _is_chunks(self.max_tokens), "Choose a multiple of 75."),
            ("batch_size", self.batch_size, self.batch_size >= 1, "Choose 1 or more."),
        ]


def _is_size(pixels: int) -> bool:
    return 64 <= pixels <= 4096 and pixels % SIZE_STEP == 0


def _is_chunks(count: int) -> bool:
    return count > 0 and count % 75 == 0


def _one_of(names: object) -> str:
    return f"Choose one of: {', '.join(names)}."  # type: ignore[arg-type]
