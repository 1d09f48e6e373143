"""The benchmark's arithmetic, its media, and one short turn of every contender."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    pytest.importorskip("psutil")
    path = ROOT / "tools" / "benchmark.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def media(tool: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tool.make_media(tmp_path_factory.mktemp("cache"), 720, 12)


def sample(tool: ModuleType, seconds: float, cpu: float) -> Any:
    return tool.Sample(frames=10, seconds=seconds, cpu_seconds=cpu, process_seconds=seconds)


class TestFigures:
    def test_ratios_are_those_of_neighbours(self, tool: ModuleType) -> None:
        ours = [sample(tool, 1.0, 2.0), sample(tool, 2.0, 2.0), sample(tool, 4.0, 2.0)]
        other = [sample(tool, 2.0, 2.0), sample(tool, 6.0, 5.0), sample(tool, 4.0, 3.0)]
        result = tool.compare(ours, other)
        assert result["frame_rate_ratios"] == [2.0, 3.0, 1.0]
        assert result["frame_rate_ratio"] == 2.0
        assert result["cpu_ratio"] == 1.5
        assert result["best_frame_rate_ratio"] == 2.0
        assert result["ours_fps"] == 5.0

    def test_table_has_a_row_for_each_answer(self, tool: ModuleType) -> None:
        pair = {"ours_fps": 60.04, "other_fps": 59.0, "frame_rate_ratio": 1.018, "cpu_ratio": 1.2}
        short = {"frames": 300, "peak_mib": 400.2}
        memory = {"short": short, "long": {"frames": 3000, "peak_mib": 410.0}, "peak_ratio": 1.0245}
        results = {
            "a": {"1080p": pair, "720p": pair},
            "c": {"1080p": {"rest": 19.26}},
            "d": {"1080p": memory},
        }
        lines = tool.table(results).splitlines()
        assert len(lines) == 2 + 4
        assert {line.count("|") for line in lines} == {6}
        assert "| 60.0 fps | 59.0 fps | 1.02 (1.20) | at least 0.9 |" in lines[2]
        assert "19.3 ms" in lines[4]
        assert "| 410 MiB | 400 MiB | 1.02 |" in lines[5]

    def test_readme_keeps_all_but_the_table(self, tool: ModuleType, tmp_path: Path) -> None:
        readme = tmp_path / "README.md"
        readme.write_text("before\n<!-- benchmark -->\nold\n<!-- /benchmark -->\nafter\n")
        tool.put_into(readme, "new")
        text = readme.read_text()
        assert text == "before\n<!-- benchmark -->\nnew\n<!-- /benchmark -->\nafter\n"

    def test_readme_without_a_place_is_refused(self, tool: ModuleType, tmp_path: Path) -> None:
        readme = tmp_path / "README.md"
        readme.write_text("nothing\n")
        with pytest.raises(tool.BenchmarkError, match="has no lines <!-- benchmark -->"):
            tool.put_into(readme, "new")

    def test_unknown_question_is_refused(self, tool: ModuleType) -> None:
        with pytest.raises(SystemExit):
            tool.parse(["--only", "a,x"])


@needs_ffmpeg
class TestMedia:
    def test_clip_has_sound_and_the_right_size(self, media: Any) -> None:
        with av.open(media.clip) as clip:
            video, audio = clip.streams.video[0], clip.streams.audio[0]
            assert (video.width, video.height, audio.codec_context.name) == (1280, 720, "aac")
            assert sum(1 for _ in clip.decode(video)) == 12

    def test_matte_is_the_alpha_of_the_same_frames(self, media: Any) -> None:
        with av.open(media.clip) as clip, av.open(media.matte) as matte:
            frames = list(clip.decode(video=0))
            mattes = list(matte.decode(video=0))
        assert [frame.time for frame in frames] == [frame.time for frame in mattes]
        assert {int(frame.color_range) for frame in mattes} == {2}
        alpha = np.frombuffer(mattes[5].planes[0], np.uint8)
        assert 0.2 < np.mean(alpha == 255) < 0.7
        assert np.mean(alpha == 0) > 0.1

    def test_media_are_made_once(self, tool: ModuleType, media: Any) -> None:
        before = media.clip.stat().st_mtime_ns
        assert tool.make_clip(media.clip.parent, 720, 12) == media.clip
        assert media.clip.stat().st_mtime_ns == before


@needs_ffmpeg
class TestContenders:
    def test_core_and_ffmpeg_make_the_same_pictures(
        self, tool: ModuleType, media: Any, tmp_path: Path
    ) -> None:
        one, two = (tool.Job(media, tmp_path / name) for name in ("ours.mp4", "ffmpeg.mp4"))
        assert tool.run_core(one) == 12
        taken = tool.sample_ffmpeg(two, 12)
        assert taken.cpu_seconds > 0
        assert tool.likeness(one.output, two.output)["psnr_least"] > 40
        settings = [tool.x264_settings(job.output)["options"] for job in (one, two)]
        assert settings[0] == settings[1]

    @pytest.mark.parametrize("name", ["render", "plain"])
    def test_whole_render_and_plain_loop_go_through_every_frame(
        self, tool: ModuleType, media: Any, tmp_path: Path, name: str
    ) -> None:
        job = tool.Job(media, tmp_path / "out.mp4")
        assert tool.CONTENDERS[name](job, None) == 12
        with av.open(job.output) as result:
            assert sum(1 for _ in result.decode(video=0)) == 12

    def test_a_worker_prints_one_json_object(
        self, tool: ModuleType, media: Any, tmp_path: Path
    ) -> None:
        taken = tool.sample_ours("core", tool.Job(media, tmp_path / "out.mp4"))
        assert taken.frames == 12
        assert taken.process_seconds > taken.seconds > 0

    def test_profile_adds_up(self, tool: ModuleType, media: Any, tmp_path: Path) -> None:
        answer = json.loads(json.dumps(tool.profile(tool.Job(media, tmp_path / "out.mp4"))))
        parts = answer["network"] + answer["encoder"] + answer["rest"]
        assert parts == pytest.approx(answer["total"])
        assert answer["encoder"] > 0

    def test_memory_is_watched(self, tool: ModuleType, media: Any, tmp_path: Path) -> None:
        seen = tool.watch_memory(media.clip, media.background, tmp_path / "out.mp4")
        assert seen["peak_mib"] >= seen["steady_mib"] > 50
