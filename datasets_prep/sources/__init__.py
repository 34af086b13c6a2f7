"""One reader per annotation format. To add one: a file here, a name in ``SourceFormat``, a line below."""

from __future__ import annotations

from datasets_prep.sources.charades_sta import CharadesSta
from datasets_prep.sources.llava_video import LlavaVideo
from datasets_prep.sources.meta_expressions import MetaExpressions
from datasets_prep.sources.mvbench import MvBench
from datasets_prep.sources.reader import Files, Reader, Record
from datasets_prep.sources.ref_davis import RefDavis
from datasets_prep.sources.ref_sav import RefSav
from datasets_prep.sources.ref_youtube_vos import RefYoutubeVos
from datasets_prep.sources.refcoco import RefCoco
from datasets_prep.sources.st_align import StAlign
from datasets_prep.sources.time_stamp import TimeStamp
from datasets_prep.sources.ufvideo_bench import UfvideoBench
from datasets_prep.sources.ufvideo_seg import UfvideoSeg
from datasets_prep.sources.videorefer import VideoRefer
from datasets_prep.sources.videorefer_bench_q import VideoReferBenchQ
from pipeline.config.data import SourceFormat

READERS: dict[SourceFormat, Reader] = {
    SourceFormat.LLAVA_VIDEO: LlavaVideo(),
    SourceFormat.VIDEOREFER: VideoRefer(),
    SourceFormat.META_EXPRESSIONS: MetaExpressions(),
    SourceFormat.REF_YOUTUBE_VOS: RefYoutubeVos(),
    SourceFormat.REF_DAVIS: RefDavis(),
    SourceFormat.REF_SAV: RefSav(),
    SourceFormat.REFCOCO: RefCoco(),
    SourceFormat.UFVIDEO_SEG: UfvideoSeg(),
    SourceFormat.ST_ALIGN: StAlign(),
    SourceFormat.TIME_STAMP: TimeStamp(),
    SourceFormat.MVBENCH: MvBench(),
    SourceFormat.VIDEOREFER_BENCH_Q: VideoReferBenchQ(),
    SourceFormat.CHARADES_STA: CharadesSta(),
    SourceFormat.UFVIDEO_BENCH: UfvideoBench(),
}

__all__ = ["READERS", "Files", "Reader", "Record"]
