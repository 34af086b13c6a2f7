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

    def fingerprints(*more: str) -> str:
        return survey(load_plan(str(plan_file), [*sets, *more])).fingerprints["init"]

    assert (
        survey(load_plan(str(plan_file), sets)).inputs["init"]["model.weights.language"].uri
        == "hf://Qwen/Qwen2@v1"
    )
    assert fingerprints() != fingerprints("model.weights.language=Qwen/Qwen2@v2")
    assert fingerprints() != fingerprints("model.tokenizer.new_rows=random")
    assert fingerprints() != fingerprints("model.weights.bf16=false")
