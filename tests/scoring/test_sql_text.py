import pytest

from athlos.scoring.sql_text import fenced_query, find_query


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("```sql\nSELECT 2\n```", "SELECT 2"),
        ("```sql SELECT 2``` or ```sql SELECT 3```", "SELECT 3"),
        ("```sqlite\nSELECT 2\n```", "ite SELECT 2"),  # marked as something else
        ("```sql\n2\n```", "SELECT 1"),  # no letter
        ("```sql\n``` so\n```", "``` so"),  # an empty block goes on to the next fence
        ("```sql\nSELECT 2", "SELECT 1"),
        ("SELECT 2", "SELECT 1"),
        ("", "SELECT 1"),
        ("```sql\nSELECT\n\t2  ,\n3```", "SELECT 2 , 3"),
        ("```sql\nSELECT 2 -- two\n, 3```", "SELECT 2"),
        ("```sql\nSELECT '--' ```", "SELECT '"),
        ("```sql\nSELECT /* a -- b */ 2 /**/```", "SELECT 2"),
        ("```sql\nSELECT 2 /*/ 3```", "SELECT 2 /*/ 3"),
        ("```sql\nSELECT 2 /* 3 -- 4```", "SELECT 2 /* 3"),
        ("```sql -- a```", ""),
        ("```sql**Answer** SELECT 2```", "SELECT 2"),
        ("```sql **Answer** SELECT 2```", "**Answer** SELECT 2"),
    ],
)
def test_the_fenced_query(text, sql):
    assert fenced_query(text).sql == sql


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("```sql\nSELECT 2\n```", "SELECT 2"),
        ("```Sql SELECT 2 ``` ```SQL SELECT 3 ```", "SELECT 3"),
        ("```sql\n\n```", None),
        ("```\nselect 2\n``` ```\nprint\n```", "select 2"),
        ("```\nDROP TABLE x\n```", "DROP TABLE x"),
        ("```\nselects\n```", None),
        ("So: SELECT 2;; and more", "SELECT 2;"),
        ("So: SELECT 2", "SELECT 2;"),
        ("; SELECT 2", "SELECT 2;"),
        ("DROP TABLE x;", None),
        ("```sql\nSELECT 2", "SELECT 2;"),
        ("no query", None),
        ("", None),
    ],
)
def test_the_query_in_a_text(text, sql):
    assert find_query(text) == sql
