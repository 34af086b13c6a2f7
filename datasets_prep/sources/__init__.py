"""One reader per annotation format. To add one: a file here, a name in ``SourceFormat``, a line below."""

from __future__ import annotations

from datasets_prep.sources.bases.reader import Files, Reader, Record
from datasets_prep.sources.formats.activitynet_captions import ActivitynetCaptions
from datasets_prep.sources.formats.activitynet_rtl import ActivitynetRtl
from datasets_prep.sources.formats.charades_sta import CharadesSta
from datasets_prep.sources.formats.didemo import DiDeMo
from datasets_prep.sources.formats.hirest import HiRest
from datasets_prep.sources.formats.llava_video import LlavaVideo
from datasets_prep.sources.formats.meta_expressions import MetaExpressions
from datasets_prep.sources.formats.mvbench import MvBench
from datasets_prep.sources.formats.nextgqa import NextGqa
from datasets_prep.sources.formats.qvhighlights import QvHighlights
from datasets_prep.sources.formats.ref_davis import RefDavis
from datasets_prep.sources.formats.ref_sav import RefSav
from datasets_prep.sources.formats.ref_youtube_vos import RefYoutubeVos
from datasets_prep.sources.formats.refcoco import RefCoco
from datasets_prep.sources.formats.st_align import StAlign
from datasets_prep.sources.formats.time_stamp import TimeStamp
from datasets_prep.sources.formats.ufvideo_bench import UfvideoBench
from datasets_prep.sources.formats.ufvideo_seg import UfvideoSeg
from datasets_prep.sources.formats.video_database import VideoDatabase
from datasets_prep.sources.formats.videorefer import VideoRefer
from datasets_prep.sources.formats.videorefer_bench_d import VideoReferBenchD
from datasets_prep.sources.formats.videorefer_bench_q import VideoReferBenchQ
from datasets_prep.sources.formats.vitt import ViTT
from datasets_prep.sources.formats.vtimellm import VTimeLlm
from pipeline.plan.data import SourceFormat

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
