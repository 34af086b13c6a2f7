"""Each finding's title on the page, what it means, and what to do about it. See docs/doctor.md."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.plan.doctor import Finding


class FindingText(NamedTuple):
    """What the pages say about one finding."""

    title: str
    means: str
    do: str


FINDING_TEXTS = {
    Finding.MEDIA_MISSING: FindingText(
        "missing media",
        "The video is in none of the source's media folders.",
        "Correct `media`, or fetch the rest of the archive.",
    ),
    Finding.MEDIA_UNREADABLE: FindingText(
        "undecodable videos",
        "The file is not a video, was cut off, has damaged packets, or its first frame does not decode.",
        "Fetch it again; if it is as published, leave it rejected.",
    ),
    Finding.MEDIA_UNDECODABLE: FindingText(
        "undecodable frames",
        "The video begins well, but a frame further in does not decode. Training would meet it.",
        "Fetch it again, or take its records out.",
    ),
    Finding.HEADER_FRAMES: FindingText(
        "frame count of the header",
        "The header promises another number of frames than are shown: its maker counted otherwise, or an "
        "edit list hides some. Frame numbers that were taken from the header do not fit.",
        "Look at a few masks of these videos.",
    ),
    Finding.TOO_FEW_FRAMES: FindingText(
        "too few frames",
        "The video has fewer frames than the plan's `min_frames`.",
        "Fetch it again; for still images set the source's `min_frames` to 1.",
    ),
    Finding.DUPLICATE_MEDIA: FindingText(
        "copies of a video",
        "The same bytes lie under another name too, or twice in this source.",
        "Harmless for training. Point `media` at one copy to save space and probing.",
    ),
    Finding.SPAN_OUTSIDE: FindingText(
        "spans outside their video",
        "A time is before the start or past the end of its video.",
        "A little outside: set `outside_spans: clamp`. Far outside: another unit, or another cut of it.",
    ),
    Finding.SPAN_CLAMPED: FindingText(
        "clamped spans",
        "A time lay outside its video and is cut, as the source's `outside_spans` says.",
        "Look at the distances: more than a second or two is not rounding.",
    ),
    Finding.SPAN_OUTSIDE_KEPT: FindingText(
        "true spans past the end",
        "A true time of a benchmark is outside its video and is kept, as the source's `outside_spans` says.",
        "Scores with the raw truth and with the truth cut at the video's end differ by these.",
    ),
    Finding.LATE_PICTURE: FindingText(
        "sound before the picture",
        "A player plays sound before the first picture. Seconds of the source count from where the player "
        "begins, so they are mapped to the picture's clock.",
        "If this set's seconds count from the first picture, set the source's `seconds_from: picture`.",
    ),
    Finding.DURATION_MISMATCH: FindingText(
        "durations that are not the video's",
        "The record says another duration than the video has, by more than a second and 1 %: the times were "
        "made on another copy or cut, and do not fit this one.",
        "Find the copy that was annotated. `duration_mismatch: scale` is right for one of another speed, "
        "`reject` leaves these records out.",
    ),
    Finding.EARLY_MASKS: FindingText(
        "masks shifted: all in the first frames",
        "All masks of all objects of the video are in the first half of its frames, or in less. Masks of "
        "every n-th frame that were stored one after the other look like this, as some of ReVOS were.",
        "Look at some masks near the middle. If they are shifted, set `early_masks: reject`.",
    ),
    Finding.FRAME_NAMES: FindingText(
        "frame numbers of several widths",
        "The names of the stills hold numbers that are not padded to one width, such as 2.jpg and 10.jpg. "
        "The frames are taken in the order of their numbers.",
        "Nothing; only a reader that sorts names as texts would see another order.",
    ),
    Finding.MEDIA_DIFFERS: FindingText(
        "two videos of one name",
        "A later folder of `media` holds another file of the video's name. The first folder's is taken.",
        "Check that it is the one that was annotated; else change the order of `media`.",
    ),
    Finding.SPAN_REVERSED: FindingText(
        "reversed spans",
        "A span ends before it starts.",
        "Mend the annotation; if all are, start and end are swapped.",
    ),
    Finding.SPAN_ZERO_LENGTH: FindingText(
        "spans without length",
        "A span ends where it starts.",
        "Mend the annotation, or leave it rejected: there is nothing to find in it.",
    ),
    Finding.BAD_SPAN: FindingText(
        "spans that are not numbers", "A time is infinite or not a number.", "Mend the annotation."
    ),
    Finding.SPAN_COUNT: FindingText(
        "spans that do not match",
        "The times in the text are not those that the record lists.",
        "Mend the annotation.",
    ),
    Finding.PLACEHOLDERS: FindingText(
        "placeholders without a value",
        "Placeholders in the text and listed values differ in number, or one is left over.",
        "Mend the annotation; if all are, the source has another `format`.",
    ),
    Finding.FRAME_OUTSIDE: FindingText(
        "masks shifted: frames that the video lacks",
        "A mask is for a frame past the video's end. The video is another cut, or of another frame rate, and "
        "then the masks before its end are shifted as well.",
        "Look at some masks (the dataset's card shows them) and find the videos that they were drawn on.",
    ),
    Finding.MASKS_SHIFTED: FindingText(
        "masks shifted: lists that do not match",
        "The list of masks and the list of frames that they are for differ.",
        "Mend the annotation; which mask belongs to which frame cannot be known.",
    ),
    Finding.MASK_SIZE: FindingText(
        "masks of the wrong size",
        "A mask is not as large as its frame. Height and width may be swapped, or the video was resized.",
        "Find the videos on which the masks were drawn.",
    ),
    Finding.BAD_MASK: FindingText("broken masks", "A mask cannot be read.", "Mend the annotation."),
    Finding.MASK_MISSING: FindingText(
        "missing masks",
        "The file or folder of masks lacks what the record names.",
        "Correct `masks`, or fetch the rest of the archive.",
    ),
    Finding.EMPTY_REGION: FindingText(
        "empty masks of regions",
        "An object that the question points at has no pixel.",
        "Mend the annotation, or leave it rejected.",
    ),
    Finding.EMPTY_TARGET: FindingText(
        "empty masks of targets",
        "An object to be segmented has no pixel in any annotated frame. Sets with expressions that fit "
        "nothing have such on purpose.",
        "If the set is not one of those, its masks are damaged; else allow it.",
    ),
    Finding.MASKS_PARTLY_EMPTY: FindingText(
        "some masks empty",
        "An object is absent in some of its annotated frames, as objects are that come and go.",
        "Nothing, unless it is most of a set without absent objects.",
    ),
    Finding.REGION_COUNT: FindingText(
        "<region> counts that do not match",
        "The questions point at more or fewer objects than are annotated.",
        "Mend the annotation.",
    ),
    Finding.TARGET_COUNT: FindingText(
        "[SEG] counts that do not match",
        "The answers segment more or fewer objects than are annotated.",
        "Mend the annotation, or the source's `answer_templates`.",
    ),
    Finding.TURNS: FindingText(
        "conversations that do not alternate",
        "Not user, assistant, user, assistant, or a turn is empty, or the last question has no answer.",
        "Mend the annotation.",
    ),
    Finding.BAD_CHOICE: FindingText(
        "answers that are not an option",
        "The answer of a multiple choice is none of its options.",
        "Mend the annotation.",
    ),
    Finding.DUPLICATE_KEY: FindingText(
        "duplicate keys",
        "Two records have one key: what is asked for by its key could be either.",
        "Rename a source or a file, or take the second record out.",
    ),
    Finding.DUPLICATE_SAMPLE: FindingText(
        "duplicate samples",
        "A source holds the same text about the same video twice, so it counts double in training.",
        "Take the second out, if it is not meant.",
    ),
    Finding.DUPLICATE_ELSEWHERE: FindingText(
        "samples of another source",
        "An earlier source of the plan has the same text about the same video.",
        "Leave one of them out of the mixture, if it is not meant.",
    ),
    Finding.OVERLAP_CONTENT: FindingText(
        "training on a benchmark's videos",
        "Training and a benchmark share the video, byte for byte: the score measures memory as well.",
        "Take the videos out of training (`drop_videos`, `select`), or say so beside the score.",
    ),
    Finding.OVERLAP_NAME: FindingText(
        "names shared with a benchmark",
        "Training and a benchmark have videos of one name: the same video in another encoding, or chance.",
        "Look at some of them. A set's own ids (v_abc, RW587) are not chance; 1.mp4 is.",
    ),
    Finding.BROKEN_JSON: FindingText("broken lines", "A line is not JSON.", "Fetch the file again."),
    Finding.MALFORMED: FindingText(
        "malformed records",
        "A field that the format needs is missing or of another type.",
        "Mend the annotation; if all are, the source has another `format`.",
    ),
    Finding.SPATIAL: FindingText(
        "boxes in text",
        "The text holds boxes, which this model neither reads nor writes.",
        "Leave them out by `keep_types`, or by `drop_spatial` of st_align.",
    ),
    Finding.UNFORESEEN: FindingText(
        "unforeseen errors",
        "The record or its video broke code that expected nothing of the kind.",
        "Look at the record and report it.",
    ),
}
