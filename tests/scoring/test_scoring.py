import athlos.scoring


def test_public_names() -> None:
    assert athlos.scoring.__all__ == [
        "ExtractionMode",
        "GradingMode",
        "MathVerdict",
        "Options",
        "SimilarityRule",
        "all_boxed",
        "allowed_letters",
        "brace_groups",
        "contains_answer",
        "exact_match",
        "extract_answer",
        "extract_choice",
        "fenced_objects",
        "json_answer",
        "last_boxed",
        "parse_json",
        "score_choice",
        "score_similarity",
        "score_string",
        "surface_forms",
        "token_f1",
        "unreliable",
        "unwrap_text",
        "verify_math",
    ]
    assert all(hasattr(athlos.scoring, name) for name in athlos.scoring.__all__)
