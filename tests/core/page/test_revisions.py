"""A page of text with all its revisions: no text that was ever on it is lost."""

from __future__ import annotations

import random

import msgspec
import pytest

from studio.core.page.edits import ROOT, Author, Edit, InsertionPoint, StoredPage
from studio.core.page.revisions import AuthorRun, RevisionTree

TALE = "Once upon a time"


def generate(page: RevisionTree, job: str, text: str) -> int:
    """Let a job write at the end of the page, and return its node."""
    page.request_text(job, page.current, len(page.text))
    page.set_generated_text(job, text)
    page.finish_request(job, f"creation of {job}")
    node = page.find_node_of_job(job)
    assert node is not None
    return node.id


def type_in(page: RevisionTree, text: str) -> None:
    for letter in text:
        page.write(len(page.text), 0, letter)


def test_typing_is_one_step_until_a_new_paragraph() -> None:
    page = RevisionTree()
    type_in(page, "One.\nTwo.")
    assert page.text == "One.\nTwo."
    page.undo()
    assert page.text == "One.\n"
    page.undo()
    assert page.text == ""
    assert not page.can_undo
    page.redo()
    page.redo()
    assert page.text == "One.\nTwo."


def test_consecutive_deletions_are_one_step() -> None:
    page = RevisionTree()
    type_in(page, TALE)
    page.end_step()
    for _ in range(4):
        page.write(len(page.text) - 1, 1, "")
    assert page.text == "Once upon a "
    page.undo()
    assert page.text == TALE


def test_a_corrected_typo_is_part_of_the_typing() -> None:
    page = RevisionTree()
    type_in(page, "a tine")
    page.write(4, 2, "")
    type_in(page, "me")
    assert page.text == "a time"
    assert len(page.nodes) == 2
    page.undo()
    assert page.text == ""


def test_regenerated_passages_are_alternatives() -> None:
    page = RevisionTree()
    type_in(page, TALE)
    base = page.current
    first = generate(page, "a", ", a fox")
    type_in(page, " ran.")
    page.go_to(base)
    second = generate(page, "b", ", an owl")
    assert page.text == f"{TALE}, an owl"
    assert page.siblings_of(second) == [first, second]
    page.go_to(page.find_leaf(first))
    assert page.text == f"{TALE}, a fox ran."
    assert page.find_generation() == first
    assert page.list_generations() == [second, first]
    assert page.nodes[second].creation == "creation of b"


def test_a_passage_contains_later_edits_of_its_branch() -> None:
    page = RevisionTree()
    type_in(page, "So ")
    base = page.current
    first = generate(page, "a", "A fox ran.")
    page.write(5, 3, "dog")
    type_in(page, " The end.")
    page.go_to(base)
    second = generate(page, "b", "An owl.")
    page.write(3, 7, "")
    assert page.get_passage_runs(first) == [
        AuthorRun("A ", Author.MACHINE),
        AuthorRun("dog", Author.HUMAN),
        AuthorRun(" ran.", Author.MACHINE),
    ]
    assert page.get_passage_runs(second) == []


def test_jobs_that_wait_at_an_insertion_point_are_found() -> None:
    page = RevisionTree()
    type_in(page, "A")
    place = InsertionPoint(page.current, 1)
    for job in ("a", "b", "c"):
        page.request_text(job, place.node, place.at)
    page.request_text("d", ROOT, 0)
    page.set_generated_text("a", " fox")
    assert page.find_waiting_jobs(place) == ["b", "c"]
    page.finish_request("b")
    page.set_generated_text("c", " owl")
    assert page.find_waiting_jobs(place) == []
    assert [page.nodes[id].text for id in page.find_generations(place)] == [" fox", " owl"]
    assert page.insertion_point_of(page.find_generations(place)[1]) == place


def test_undo_returns_to_the_alternative_before() -> None:
    page = RevisionTree()
    base = page.current
    first = generate(page, "a", "A fox")
    page.go_to(base)
    generate(page, "b", "An owl")
    page.go_to(first)
    page.undo()
    assert page.text == "An owl"


def test_text_that_arrives_after_typing_becomes_a_branch() -> None:
    page = RevisionTree()
    type_in(page, TALE)
    page.request_text("a", page.current, len(TALE))
    type_in(page, " there was")
    page.set_generated_text("a", ", a fox")
    assert page.text == f"{TALE} there was"
    assert page.text_of(page.list_generations()[0]) == f"{TALE}, a fox"


def test_text_that_arrives_twice_makes_no_branch() -> None:
    page = RevisionTree()
    type_in(page, "A")
    page.request_text("j", page.current, 1)
    page.set_generated_text("j", " fox")
    type_in(page, " ran.")
    assert page.set_generated_text("j", " fox") == []
    page.finish_request("j", "c")
    assert page.text == "A fox ran."
    (node,) = page.list_generations()
    assert page.nodes[node].creation == "c"


def test_streaming_extends_one_node_until_text_follows_it() -> None:
    page = RevisionTree()
    page.request_text("a", ROOT, 0)
    for end in range(1, 9):
        page.set_generated_text("a", "A red fox"[:end])
    assert len(page.nodes) == 2
    type_in(page, "!")
    page.set_generated_text("a", "A red fox")
    assert page.text == "A red fo!"
    assert sorted(page.text_of(id) for id in page.list_generations()) == ["A red fo", "A red fox"]


def test_an_edit_in_a_passage_splits_the_runs_of_its_author() -> None:
    page = RevisionTree()
    generate(page, "a", "The fox slept.")
    page.write(4, 3, "owl")
    assert page.get_runs() == [
        AuthorRun("The ", Author.MACHINE),
        AuthorRun("owl", Author.HUMAN),
        AuthorRun(" slept.", Author.MACHINE),
    ]
    assert page.find_generation(2) == 1
    assert page.find_node(6) == 2


def test_replacing_all_matches_is_one_step() -> None:
    page = RevisionTree()
    generate(page, "a", "fox and fox and fox")
    page.write_many([(0, 3, "owl"), (8, 3, "cat"), (16, 3, "")])
    assert page.text == "owl and cat and "
    page.undo()
    assert page.text == "fox and fox and fox"


def test_search_covers_all_branches() -> None:
    page = RevisionTree()
    type_in(page, "Once ")
    base = page.current
    generate(page, "a", "a FOX sang")
    page.go_to(base)
    generate(page, "b", "an owl sang")
    assert [page.nodes[match.node].job for match in page.search("sang")] == ["b", "a"]
    assert page.search("fox")[0].around == "Once a FOX sang"
    assert page.search("once a f")[0].node == 2, "a match may begin in the text before the node"
    assert page.search("") == page.search("wolf") == []


@pytest.mark.parametrize("words", ["straße", "Straße", "istanbul", "ΣΑΣ", "a.b"])
def test_search_finds_letters_whose_case_changes_their_length(words: str) -> None:
    page = RevisionTree()
    page.write(0, 0, "Die Straße, İstanbul, σας a.b")
    (match,) = page.search(words)
    assert page.text[match.at :].startswith(("Straße", "İstanbul", "σας", "a.b"))


def test_an_anchor_moves_with_its_text_and_is_stale_after_an_edit() -> None:
    page = RevisionTree()
    type_in(page, "One. A red fox. Two.")
    page.add_anchor(5, "A red fox.", seed=7, job="p")
    anchor = page.anchors[1]
    page.write(0, 0, "Zero. ", join=False)
    assert page.position_of(anchor) == (11, 21)
    assert not page.is_stale(anchor)
    page.write(13, 3, "grey")
    assert page.is_stale(anchor)
    assert page.position_of(anchor) == (11, 22)
    page.undo()
    assert not page.is_stale(anchor)
    page.undo()
    page.undo()
    assert page.text == ""
    assert page.position_of(anchor) is None
    page.redo()
    page.write(5, 10, "")
    assert page.position_of(anchor) is None


def test_text_written_after_an_anchor_does_not_make_it_stale() -> None:
    page = RevisionTree()
    type_in(page, "A fox.")
    page.add_anchor(0, "A fox.", seed=7, job="p")
    type_in(page, " It ran.")
    assert not page.is_stale(page.anchors[1])


@pytest.mark.parametrize("seed", range(20))
def test_applied_edits_rebuild_the_same_page(seed: int) -> None:
    chance = random.Random(seed)
    page, edits = RevisionTree(), []
    texts = [""]
    for number in range(120):
        edits += edit_at_random(page, chance, number)
        texts.append(page.text)
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Edit).decode
    again = RevisionTree()
    assert all(again.apply(decode(encode(edit))) for edit in edits)
    stored = msgspec.json.decode(msgspec.json.encode(page.to_stored()), type=StoredPage)
    for other in (again, RevisionTree(stored)):
        assert other.text == page.text
        assert other.nodes == page.nodes
        assert other.to_stored() == page.to_stored()
        assert all(other.text_of(id) == page.text_of(id) for id in page.nodes)
    while page.can_undo:
        page.undo()
    assert page.text == ""


def edit_at_random(page: RevisionTree, chance: random.Random, number: int) -> list[Edit]:
    text = page.text
    at = chance.randint(0, len(text))
    expected = text
    match chance.randrange(8):
        case 0 | 1:
            words = chance.choice(["a fox ", "👩‍🚀", "שלום", "\n", "狐"])
            edits = page.write(at, 0, words)
            expected = text[:at] + words + text[at:]
        case 2:
            cut = chance.randint(0, len(text) - at)
            edits = page.write(at, cut, "x" if chance.random() < 0.5 else "")
            assert len(page.text) <= len(text) + 1
            return edits
        case 3:
            job = f"j{number}"
            edits = page.request_text(job, page.current, at)
            edits += page.set_generated_text(job, "and then ")
            edits += page.set_generated_text(job, "and then more ") + page.finish_request(job, "c")
            expected = text[:at] + "and then more " + text[at:]
        case 4:
            return page.undo()
        case 5:
            return page.redo()
        case 6:
            return page.go_to(page.find_leaf(chance.choice(list(page.nodes))))
        case _:
            return page.write_many([(0, 0, "«"), (at, 0, "»")]) if at else []
    assert page.text == expected
    return edits


def test_a_page_with_many_revisions_is_restored() -> None:
    page = RevisionTree()
    for number in range(1000):
        page.write(len(page.text) // 2, 0, f"w{number} ", join=False)
    again = RevisionTree(page.to_stored())
    assert again.text == page.text
    assert len(again.get_runs()) == 1


def test_a_branch_with_another_last_word_is_an_alternative() -> None:
    page = RevisionTree()
    type_in(page, "A")
    first = generate(page, "j", " fox ran home")
    assert page.find_origin(3) == (first, 2)
    assert page.find_origin(0) != page.find_origin(1)
    assert page.find_origin(len(page.text)) is None
    page.add_branch(first, 6, "sang")
    assert page.text == "A fox sang"
    node = page.nodes[page.current]
    assert (node.author, node.job, node.creation) == (Author.MACHINE, "", "creation of j")
    assert page.siblings_of(first) == [first, node.id]
    page.undo()
    assert page.text == "A fox ran home"


def test_a_branch_keeps_the_edits_before_it() -> None:
    page = RevisionTree()
    type_in(page, "A")
    first = generate(page, "j", " fox ran home")
    page.write(2, 0, "red ")
    page.write(len(page.text), 0, "!", join=False)
    page.add_branch(first, 10, "sang")
    assert page.text == "A red fox sang!"
    assert page.nodes[page.current].creation == ""
