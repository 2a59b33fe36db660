"""A page of text: nothing that was ever on it is lost."""

from __future__ import annotations

import random

import msgspec
import pytest

from studio.core.page.edits import ROOT, Author, Edit, InsertionPoint, StoredPage
from studio.core.page.revisions import AuthorRun, RevisionTree

TALE = "Once upon a time"


def asked(page: RevisionTree, job: str, text: str) -> int:
    """A job writes at the end of the page."""
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


def test_deleting_on_is_one_step_and_what_was_deleted_stays_reachable() -> None:
    page = RevisionTree()
    type_in(page, TALE)
    page.end_step()
    for _ in range(4):
        page.write(len(page.text) - 1, 1, "")
    assert page.text == "Once upon a "
    page.undo()
    assert page.text == TALE


def test_a_slip_of_the_key_is_part_of_the_typing() -> None:
    page = RevisionTree()
    type_in(page, "a tine")
    page.write(4, 2, "")
    type_in(page, "me")
    assert page.text == "a time"
    assert len(page.nodes) == 2
    page.undo()
    assert page.text == ""


def test_continue_regenerate_and_step_between_alternatives() -> None:
    page = RevisionTree()
    type_in(page, TALE)
    base = page.current
    first = asked(page, "a", ", a fox")
    type_in(page, " ran.")
    page.go_to(base)
    second = asked(page, "b", ", an owl")
    assert page.text == f"{TALE}, an owl"
    assert page.siblings_of(second) == [first, second]
    page.go_to(page.find_leaf(first))
    assert page.text == f"{TALE}, a fox ran."
    assert page.find_generation() == first
    assert page.list_generations() == [second, first]
    assert page.nodes[second].creation == "creation of b"


def test_a_passage_is_what_its_branch_has_of_it_now() -> None:
    page = RevisionTree()
    type_in(page, "So ")
    base = page.current
    first = asked(page, "a", "A fox ran.")
    page.write(5, 3, "dog")
    type_in(page, " The end.")
    page.go_to(base)
    second = asked(page, "b", "An owl.")
    page.write(3, 7, "")
    assert page.get_passage_runs(first) == [
        AuthorRun("A ", Author.MACHINE),
        AuthorRun("dog", Author.HUMAN),
        AuthorRun(" ran.", Author.MACHINE),
    ]
    assert page.get_passage_runs(second) == []


def test_what_is_to_be_written_at_a_place_is_known() -> None:
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


def test_undo_takes_back_a_step_between_alternatives() -> None:
    page = RevisionTree()
    base = page.current
    first = asked(page, "a", "A fox")
    page.go_to(base)
    asked(page, "b", "An owl")
    page.go_to(first)
    page.undo()
    assert page.text == "An owl"


def test_what_comes_after_more_was_written_is_a_branch_beside() -> None:
    page = RevisionTree()
    type_in(page, TALE)
    page.request_text("a", page.current, len(TALE))
    type_in(page, " there was")
    page.set_generated_text("a", ", a fox")
    assert page.text == f"{TALE} there was"
    assert page.text_of(page.list_generations()[0]) == f"{TALE}, a fox"


def test_what_was_all_written_already_is_no_branch_beside_when_it_is_heard_again() -> None:
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


def test_streaming_amends_one_node_until_somebody_writes_after_it() -> None:
    page = RevisionTree()
    page.request_text("a", ROOT, 0)
    for end in range(1, 9):
        page.set_generated_text("a", "A red fox"[:end])
    assert len(page.nodes) == 2
    type_in(page, "!")
    page.set_generated_text("a", "A red fox")
    assert page.text == "A red fo!"
    assert sorted(page.text_of(id) for id in page.list_generations()) == ["A red fo", "A red fox"]


def test_words_are_told_apart_by_their_author_in_the_middle_too() -> None:
    page = RevisionTree()
    asked(page, "a", "The fox slept.")
    page.write(4, 3, "owl")
    assert page.get_runs() == [
        AuthorRun("The ", Author.MACHINE),
        AuthorRun("owl", Author.HUMAN),
        AuthorRun(" slept.", Author.MACHINE),
    ]
    assert page.find_generation(2) == 1
    assert page.find_node(6) == 2


def test_replacing_in_many_places_is_one_step() -> None:
    page = RevisionTree()
    asked(page, "a", "fox and fox and fox")
    page.write_many([(0, 3, "owl"), (8, 3, "cat"), (16, 3, "")])
    assert page.text == "owl and cat and "
    page.undo()
    assert page.text == "fox and fox and fox"


def test_search_goes_through_all_branches() -> None:
    page = RevisionTree()
    type_in(page, "Once ")
    base = page.current
    asked(page, "a", "a FOX sang")
    page.go_to(base)
    asked(page, "b", "an owl sang")
    assert [page.nodes[found.node].job for found in page.search("sang")] == ["b", "a"]
    assert page.search("fox")[0].around == "Once a FOX sang"
    assert page.search("once a f")[0].node == 2, "also where it begins in what was there before"
    assert page.search("") == page.search("wolf") == []


@pytest.mark.parametrize("words", ["straße", "Straße", "istanbul", "ΣΑΣ", "a.b"])
def test_search_finds_letters_that_are_longer_in_the_other_case(words: str) -> None:
    page = RevisionTree()
    page.write(0, 0, "Die Straße, İstanbul, σας a.b")
    (found,) = page.search(words)
    assert page.text[found.at :].startswith(("Straße", "İstanbul", "σας", "a.b"))


def test_an_anchor_moves_with_its_words_and_knows_when_they_changed() -> None:
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


def test_what_is_written_right_after_the_words_is_not_a_part_of_them() -> None:
    page = RevisionTree()
    type_in(page, "A fox.")
    page.add_anchor(0, "A fox.", seed=7, job="p")
    type_in(page, " It ran.")
    assert not page.is_stale(page.anchors[1])


@pytest.mark.parametrize("seed", range(20))
def test_moves_make_the_same_page_again(seed: int) -> None:
    chance = random.Random(seed)
    page, moves = RevisionTree(), []
    texts = [""]
    for number in range(120):
        moves += anything(page, chance, number)
        texts.append(page.text)
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Edit).decode
    again = RevisionTree()
    assert all(again.apply(decode(encode(move))) for move in moves)
    stored = msgspec.json.decode(msgspec.json.encode(page.to_stored()), type=StoredPage)
    for other in (again, RevisionTree(stored)):
        assert other.text == page.text
        assert other.nodes == page.nodes
        assert other.to_stored() == page.to_stored()
        assert all(other.text_of(id) == page.text_of(id) for id in page.nodes)
    while page.can_undo:
        page.undo()
    assert page.text == ""


def anything(page: RevisionTree, chance: random.Random, number: int) -> list[Edit]:
    text = page.text
    at = chance.randint(0, len(text))
    expected = text
    match chance.randrange(8):
        case 0 | 1:
            words = chance.choice(["a fox ", "👩‍🚀", "שלום", "\n", "狐"])
            moves = page.write(at, 0, words)
            expected = text[:at] + words + text[at:]
        case 2:
            cut = chance.randint(0, len(text) - at)
            moves = page.write(at, cut, "x" if chance.random() < 0.5 else "")
            assert len(page.text) <= len(text) + 1
            return moves
        case 3:
            job = f"j{number}"
            moves = page.request_text(job, page.current, at)
            moves += page.set_generated_text(job, "and then ")
            moves += page.set_generated_text(job, "and then more ") + page.finish_request(job, "c")
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
    return moves


def test_a_page_with_a_long_past_is_the_same_when_it_is_read_again() -> None:
    page = RevisionTree()
    for number in range(1000):
        page.write(len(page.text) // 2, 0, f"w{number} ", join=False)
    again = RevisionTree(page.to_stored())
    assert again.text == page.text
    assert len(again.get_runs()) == 1


def test_a_branch_ends_with_another_word_and_is_an_alternative() -> None:
    page = RevisionTree()
    type_in(page, "A")
    first = asked(page, "j", " fox ran home")
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


def test_a_branch_keeps_what_was_changed_before_it() -> None:
    page = RevisionTree()
    type_in(page, "A")
    first = asked(page, "j", " fox ran home")
    page.write(2, 0, "red ")
    page.write(len(page.text), 0, "!", join=False)
    page.add_branch(first, 10, "sang")
    assert page.text == "A red fox sang!"
    assert page.nodes[page.current].creation == ""
