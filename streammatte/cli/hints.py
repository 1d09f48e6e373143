"""What somebody meant who wrote an option as another program has it."""

from __future__ import annotations

import difflib

_MEANT = {
    "-i": "give the footage without -i",
    "--input": "give the footage without --input",
    "--background": "did you mean --bg?",
    "--background-image": "did you mean --bg?",
    "-bg": "did you mean --bg?",
    "-b": "did you mean --bg?",
    "-c:v": "did you mean --codec?",
    "-vcodec": "did you mean --codec?",
    "-c": "did you mean --codec?",
    "-b:v": "did you mean --bitrate?",
    "-pix_fmt": "did you mean --pix-fmt?",
    "--hwaccel": "did you mean --decoder cuda?",
    "--nvdec": "did you mean --decoder cuda?",
    "--nvenc": "did you mean --codec h264_nvenc?",
    "--webcam": "did you mean --camera?",
    "--virtual-camera": "did you mean --vcam?",
    "--gpu": "did you mean --device cuda, or --require-gpu?",
    "--cpu": "did you mean --device cpu?",
    "--fp16": "did you mean --precision fp16?",
    "--half": "did you mean --precision fp16?",
    "--passes": "did you mean --out?",
    "--only-mask": "did you mean --out matte, or streammatte matte?",
    "-om": "did you mean --out matte, or streammatte matte?",
    "--lightwrap": "did you mean --light-wrap?",
    "--resolution": "did you mean --size?",
    "--force": "did you mean -y?",
    "--overwrite": "did you mean -y?",
}
_OPTIONS = (
    *("--bg", "--bg-fit", "--output", "--quality", "--temporal", "--strength", "--refine"),
    *("--decontaminate", "--no-decontaminate", "--subject", "--keep", "--drop"),
    *("--model", "--weights", "--commercial-only", "--size", "--every"),
    *("--runtime", "--device", "--precision", "--require-gpu", "--batch"),
    *("--decoder", "--codec", "--crf", "--preset", "--bitrate", "--pix-fmt"),
    *("--out", "--alpha", "--edge", "--despill", "--light-wrap", "--mask-override", "--linear"),
    *("--start-number", "--handles", "--missing", "--rate", "--compression", "--float"),
    *("--multilayer", "--skip-existing", "--from", "--job", "--no-job", "--help-vfx"),
    *("--trim", "--pad", "--centre", "--center", "--canvas", "--shadow", "--shadow-opacity"),
    *("--help-stills",),
    *("--ocio", "--input-space", "--working-space", "--output-space"),
    *("--target", "--deform", "--revision", "--all", "--dry-run"),
    *("--for", "--recipe"),
    *("--camera", "--mode", "--vcam", "--record", "--preview", "--fps", "--mirror", "--softness"),
    *("--align", "--slate", "--control", "--token", "--backgrounds", "--scenes", "--on-demand"),
    *("--no-governor", "--frames", "--run", "--name", "--devices"),
    *("--serial", "--json", "--quiet", "--help"),
)


def unknown_word(word: str, words: list[str]) -> str:
    """Return a message for a word of a command line that nothing is known about.

    Args:
        word: The one in question.
        words: The whole line, beginning with the command.
    """
    program = f"streammatte {words[0]}"
    name = word.partition("=")[0]
    if not word.startswith("-"):
        hint = f"write the output as -o {word}" if words[0] == "render" else "one word too many"
    elif name in _MEANT:
        hint = _MEANT[name]
    else:
        near = difflib.get_close_matches("--" + name.lstrip("-"), _OPTIONS, 1, 0.7)
        hint = f"did you mean {near[0]}?" if near else f"see {program} --help"
    return f"unrecognized argument {word}; {hint}"
