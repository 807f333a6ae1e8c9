import athlos.scoring


def test_public_names() -> None:
    assert athlos.scoring.__all__ == [
        "ExtractionMode",
        "GradingMode",
        "MathVerdict",
        "Options",
        "all_boxed",
        "allowed_letters",
        "extract_answer",
        "extract_choice",
        "last_boxed",
        "score_choice",
        "score_string",
        "unwrap_text",
        "verify_math",
    ]
    assert all(hasattr(athlos.scoring, name) for name in athlos.scoring.__all__)
