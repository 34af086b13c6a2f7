"""Models of the hub among a plan's inputs."""

from pathlib import Path

from pipeline.artifacts.survey import survey
from pipeline.plan.load import load_plan


def test_a_model_of_the_hub_is_an_input_by_its_name(plan_file: Path) -> None:
    sets = [
        "model.tokenizer.path=Qwen/Qwen2@v1",
        "model.weights.language=Qwen/Qwen2@v1",
        "model.weights.bf16=true",
    ]

    def prints(*more: str) -> str:
        return survey(load_plan(str(plan_file), [*sets, *more])).prints["init"]

    assert (
        survey(load_plan(str(plan_file), sets)).external["init"]["model.weights.language"].uri
        == "hf://Qwen/Qwen2@v1"
    )
    assert prints() != prints("model.weights.language=Qwen/Qwen2@v2")
    assert prints() != prints("model.tokenizer.new_rows=random")
    assert prints() != prints("model.weights.bf16=false")
