"""One reader per annotation format. To add one: a file here, a name in ``SourceFormat``, a line below."""

from __future__ import annotations

from datasets_prep.sources.activitynet_captions import ActivitynetCaptions
from datasets_prep.sources.activitynet_rtl import ActivitynetRtl
from datasets_prep.sources.charades_sta import CharadesSta
from datasets_prep.sources.didemo import DiDeMo
from datasets_prep.sources.hirest import HiRest
from datasets_prep.sources.llava_video import LlavaVideo
from datasets_prep.sources.meta_expressions import MetaExpressions
from datasets_prep.sources.mvbench import MvBench
from datasets_prep.sources.nextgqa import NextGqa
from datasets_prep.sources.qvhighlights import QvHighlights
from datasets_prep.sources.reader import Files, Reader, Record
from datasets_prep.sources.ref_davis import RefDavis
from datasets_prep.sources.ref_sav import RefSav
from datasets_prep.sources.ref_youtube_vos import RefYoutubeVos
from datasets_prep.sources.refcoco import RefCoco
from datasets_prep.sources.st_align import StAlign
from datasets_prep.sources.time_stamp import TimeStamp
from datasets_prep.sources.ufvideo_bench import UfvideoBench
from datasets_prep.sources.ufvideo_seg import UfvideoSeg
from datasets_prep.sources.video_database import VideoDatabase
from datasets_prep.sources.videorefer import VideoRefer
from datasets_prep.sources.videorefer_bench_d import VideoReferBenchD
from datasets_prep.sources.videorefer_bench_q import VideoReferBenchQ
from datasets_prep.sources.vitt import ViTT
from datasets_prep.sources.vtimellm import VTimeLlm
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
    SourceFormat.ACTIVITYNET_CAPTIONS: ActivitynetCaptions(),
    SourceFormat.YOUCOOK2: VideoDatabase(),
    SourceFormat.COIN: VideoDatabase(),
    SourceFormat.DIDEMO: DiDeMo(),
    SourceFormat.HIREST: HiRest(),
    SourceFormat.QVHIGHLIGHTS: QvHighlights(),
    SourceFormat.NEXTGQA: NextGqa(),
    SourceFormat.VTIMELLM: VTimeLlm(),
    SourceFormat.ACTIVITYNET_RTL: ActivitynetRtl(),
    SourceFormat.VITT: ViTT(),
    SourceFormat.VIDEOREFER_BENCH_Q: VideoReferBenchQ(),
    SourceFormat.VIDEOREFER_BENCH_D: VideoReferBenchD(),
    SourceFormat.CHARADES_STA: CharadesSta(),
    SourceFormat.UFVIDEO_BENCH: UfvideoBench(),
}

__all__ = ["READERS", "Files", "Reader", "Record"]
