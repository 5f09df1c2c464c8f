"""All judged pairs have a say in who is one entity, and nothing but keys and pairs decides ties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from model.errors import InputError, OptionError
from model.inference import clustering
from model.inference.clustering import (
    Cardinality,
    ClusteringOptions,
    Clusters,
    Doubt,
    DoubtfulPair,
    cluster_pairs,
)

Judged = tuple[int, int, float]


def clustered(count: int, judged: Sequence[Judged], keys: Sequence[str] | None = None, **options: Any) -> Clusters:
    left, right, probability = zip(*judged, strict=True) if judged else ((), (), ())
    made = ClusteringOptions(**options)
    return cluster_pairs(count, left, right, probability, keys or [f"key {n:05d}" for n in range(count)], made)


def members(clusters: Clusters) -> list[tuple[int, ...]]:
    return [cluster.members for cluster in clusters.clusters]


def pairs_of(doubtful: Sequence[DoubtfulPair]) -> list[tuple[int, int]]:
    return [(pair.left, pair.right) for pair in doubtful]


def random_problem(seed: int, count: int = 60) -> list[Judged]:
    """Entities of three with noise, all probabilities different."""
    rng = np.random.default_rng(seed)
    ends = {(int(min(a, b)), int(max(a, b))) for a, b in rng.integers(0, count, (250, 2)) if a != b}
    ends |= {(one, one + step) for one in range(0, count - 2, 3) for step in (1, 2)}
    return [(a, b, float(rng.beta(6, 2) if a // 3 == b // 3 else rng.beta(2, 4))) for a, b in sorted(ends)]


# Joining ----------------------------------------------------------------------------------------------


def test_likely_pairs_join_and_unlikely_ones_do_not() -> None:
    found = clustered(5, [(0, 1, 0.9), (2, 1, 0.8), (0, 2, 0.7), (3, 4, 0.4)])
    assert members(found) == [(0, 1, 2), (3,), (4,)]
    assert found.cluster_of.tolist() == [0, 0, 0, 1, 2]
    assert (found.conflicts, found.cut_pairs, found.is_approximate) == ((), 0, False)


def test_the_threshold_itself_joins() -> None:
    assert members(clustered(2, [(0, 1, 0.8)], threshold=0.8)) == [(0, 1)]
    assert members(clustered(2, [(0, 1, 0.7999)], threshold=0.8)) == [(0,), (1,)]


def test_ends_of_a_chain_that_are_judged_different_are_not_joined_by_transitivity() -> None:
    found = clustered(3, [(0, 1, 0.95), (1, 2, 0.9), (0, 2, 0.02)])
    assert members(found) == [(0, 1), (2,)]
    assert found.conflicts == (DoubtfulPair(1, 2, 0.9, Doubt.SEPARATED),)


def test_one_weak_no_does_not_outvote_two_strong_yes_and_is_told() -> None:
    found = clustered(3, [(0, 1, 0.99), (1, 2, 0.99), (0, 2, 0.3)])
    assert members(found) == [(0, 1, 2)]
    assert found.conflicts == (DoubtfulPair(0, 2, 0.3, Doubt.JOINED),)


def test_ends_of_a_chain_that_were_never_compared_are_joined() -> None:
    assert members(clustered(3, [(0, 1, 0.95), (1, 2, 0.9)])) == [(0, 1, 2)]


def test_two_groups_are_not_glued_by_one_pair() -> None:
    groups = [(a, b, 0.9) for start in (0, 4) for a in range(start, start + 4) for b in range(a + 1, start + 4)]
    assert members(clustered(8, [*groups, (3, 4, 0.75)])) == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert members(clustered(8, [*groups, (3, 4, 0.99)])) == [tuple(range(8))]


def test_records_whose_candidates_all_match_may_belong_to_a_larger_entity() -> None:
    """Two groups of six with one doubtful pair in between: with five candidates each they could not see more."""
    groups = [(a, b, 0.9) for start in (0, 6) for a in range(start, start + 6) for b in range(a + 1, start + 6)]
    judged = [*groups, (5, 6, 0.75)]
    apart, together = [tuple(range(6)), tuple(range(6, 12))], [tuple(range(12))]
    assert members(clustered(12, judged)) == members(clustered(12, judged, candidates=20)) == apart
    assert members(clustered(12, judged, candidates=5)) == together
    assert clustered(12, judged, candidates=5).clusters[0].confidence > 0.7


def test_a_record_moves_to_the_group_that_it_belongs_to_more() -> None:
    """5 joins 0 first, surest of all, but three others have more to say together."""
    judged = [(0, 5, 0.96), (1, 5, 0.8), (2, 5, 0.8), (3, 5, 0.8), (0, 1, 0.01), (0, 2, 0.01), (0, 3, 0.01)]
    inside = [(1, 2, 0.95), (2, 3, 0.95), (1, 3, 0.95)]
    assert members(clustered(6, [*judged, *inside])) == [(0,), (1, 2, 3, 5), (4,)]


def test_a_record_leaves_a_group_that_speaks_against_it() -> None:
    strong = [(0, 1, 0.99995), *((1, other, 0.9999) for other in (2, 3, 4))]
    found = clustered(5, [*strong, *((0, other, 0.01) for other in (2, 3, 4))])
    assert members(found) == [(0,), (1, 2, 3, 4)]
    assert found.conflicts == (DoubtfulPair(0, 1, 0.99995, Doubt.SEPARATED),)


def test_clustering_never_disagrees_more_than_leaving_all_apart_or_joining_whatever_is_connected() -> None:
    def disagreement(judged: Sequence[Judged], labels: Sequence[int]) -> float:
        weights = [(a, b, np.log(p / (1 - p))) for a, b, p in judged]
        return float(sum(abs(w) for a, b, w in weights if (labels[a] == labels[b]) != (w > 0)))

    for seed in range(10):
        judged = random_problem(seed)
        found = disagreement(judged, clustered(60, judged).cluster_of.tolist())
        assert 0 < found < 0.6 * disagreement(judged, range(60))
        assert found < 0.6 * disagreement(judged, [0] * 60)


# Order ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cardinality", list(Cardinality))
@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("equal_keys", [False, True])
def test_permuted_records_and_pairs_give_the_permuted_clusters(
    cardinality: Cardinality, coarse: bool, equal_keys: bool
) -> None:
    rng = np.random.default_rng(1)
    count, judged = 60, [(a, b, round(p, 1) if coarse else p) for a, b, p in random_problem(7)]
    sides = [number % 2 for number in range(count)]
    if cardinality is not Cardinality.MANY_TO_MANY:
        judged = [pair for pair in judged if sides[pair[0]] != sides[pair[1]]]
    keys = [f"key {0 if equal_keys else number}" for number in range(count)]
    judged += [(0, 1, 0.31), (1, 2, 0.37)] if cardinality is Cardinality.MANY_TO_MANY else []
    options: dict[str, Any] = {"cardinality": cardinality, "sides": sides, "max_cluster_size": 4}
    plain = clustered(count, judged, keys, **options)
    assert any(len(cluster.members) > 1 for cluster in plain.clusters)
    for _ in range(5):
        new = rng.permutation(count)  # record i becomes new[i]
        old = np.argsort(new)
        moved = [(int(new[b]), int(new[a]), p) for a, b, p in judged]
        moved = [moved[place] for place in rng.permutation(len(moved))]
        again = clustered(count, moved, [keys[one] for one in old], **{**options, "sides": [sides[one] for one in old]})

        def back(cluster: clustering.Cluster, old: np.ndarray = old) -> object:
            return cluster.id, tuple(sorted(old[list(cluster.members)].tolist())), cluster.confidence, cluster.is_capped

        assert {back(cluster) for cluster in again.clusters} == {
            (cluster.id, cluster.members, cluster.confidence, cluster.is_capped) for cluster in plain.clusters
        }
        for ours, theirs in ((plain.conflicts, again.conflicts), (plain.questions(9), again.questions(9))):
            assert [set(pair) for pair in pairs_of(ours)] == [
                {int(old[left]), int(old[right])} for left, right in pairs_of(theirs)
            ]


def test_records_of_equal_keys_are_told_apart_by_their_pairs() -> None:
    """Records 0, 1 and 2 have one key; whichever number the best partner of 3 has, it is found."""
    for best in range(3):
        judged = [(one, 3, 0.9 if one == best else 0.6) for one in range(3)]
        judged += [(0, 1, 0.01), (1, 2, 0.01), (0, 2, 0.01)]
        found = clustered(4, judged, ["same", "same", "same", "other"])
        assert (best, 3) in members(found)


def test_equal_keys_with_equal_pairs_give_one_outcome_whatever_their_numbers() -> None:
    keys = ["same"] * 3 + ["other"]
    outcomes = set()
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        found = clustered(4, [(one, 3, 0.9) for one in order] + [(0, 1, 0.0), (1, 2, 0.0), (0, 2, 0.0)], keys)
        outcomes.add(tuple(sorted((one.id, len(one.members), one.confidence) for one in found.clusters)))
    assert len(outcomes) == 1
    assert sorted(size for _, size, _ in next(iter(outcomes))) == [1, 1, 2]


# Ids --------------------------------------------------------------------------------------------------


def test_an_id_depends_on_the_keys_of_the_members_alone() -> None:
    first = clustered(3, [(0, 1, 0.9)], ["a", "b", "c"])
    second = clustered(4, [(3, 1, 0.7)], ["x", "b", "y", "a"])
    assert first.clusters[0].id == second.clusters[1].id
    assert first.clusters[0].id != first.clusters[1].id
    assert first.clusters[0].id.startswith("ent_") and len(first.clusters[0].id) == 16


def test_clusters_of_equal_keys_get_a_counter() -> None:
    found = clustered(4, [], ["same", "same", "other", "same"])
    names = [cluster.id for cluster in found.clusters]
    assert [name.removeprefix(names[0]) for name in (names[0], names[1], names[3])] == ["", "_2", "_3"]
    assert len(set(names)) == 4


def test_keys_are_not_run_together_in_an_id() -> None:
    one, other = clustered(2, [(0, 1, 0.9)], ["ab", "c"]), clustered(2, [(0, 1, 0.9)], ["a", "bc"])
    assert one.clusters[0].id != other.clusters[0].id


def test_keys_may_hold_anything() -> None:
    found = clustered(4, [(0, 1, 0.9)], ["\0", "\ud800", "", "x" * 10_000_000])
    assert len({cluster.id for cluster in found.clusters}) == 3


# Guards -----------------------------------------------------------------------------------------------


def test_a_hub_of_middling_probability_does_not_glue_its_neighbours() -> None:
    found = clustered(1001, [(0, other, 0.65) for other in range(1, 1001)])
    assert max(len(cluster.members) for cluster in found.clusters) <= 4
    assert len(found.conflicts) >= 996 and found.conflicts[0].doubt is Doubt.SEPARATED


def test_a_hub_does_not_join_groups_that_are_sure_without_it() -> None:
    groups = [(a, a + 1, 0.99) for a in range(1, 201, 2)]
    found = clustered(201, [*groups, *((0, other, 0.6) for other in range(1, 201))])
    assert sorted(map(len, members(found)))[:-1] == [2] * 99
    assert len(members(found)[0]) == 3


@pytest.mark.parametrize("hub", [0, 2000])
def test_a_hub_that_all_are_sure_of_takes_work_in_proportion(hub: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    join: Callable[..., clustering._Link] = clustering._Link.__new__

    def counted(*arguments: Any) -> clustering._Link:
        nonlocal looked
        looked += 1
        return join(*arguments)

    monkeypatch.setattr(clustering._Link, "__new__", counted)
    found = clustered(2001, [(hub, other, 0.999 + 4e-7 * other) for other in range(2001) if other != hub])
    assert members(found) == [tuple(range(2001))]
    assert 2000 < looked < 40_000


def test_ten_thousand_identical_names_join_with_few_joins_and_little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    count, near = 10_000, 4
    looked = 0
    gain = clustering._Link.gain

    def counted(link: clustering._Link, possible: int, missing: float) -> float:
        nonlocal looked
        looked += 1
        return gain(link, possible, missing)

    monkeypatch.setattr(clustering._Link, "gain", counted)
    left = np.repeat(np.arange(count), near)
    right = (left + np.tile(np.arange(1, near + 1), count)) % count
    found = cluster_pairs(count, left, right, np.full(len(left), 0.98), ["same name"] * count)
    assert members(found) == [tuple(range(count))]
    assert looked < 20 * len(left)
    assert found.clusters[0].confidence == pytest.approx(0.98 / (0.98 + 0.02 * np.exp(1.5)), abs=1e-6)


def test_a_large_component_of_weak_links_falls_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "MAX_COMPONENT", 50)
    seen = []
    agglomerate = clustering._Groups.agglomerate

    def watched(groups: clustering._Groups) -> None:
        seen.append(len(groups._links))
        agglomerate(groups)

    monkeypatch.setattr(clustering._Groups, "agglomerate", watched)
    groups = [
        (a, b, 0.95) for start in range(0, 2000, 4) for a in range(start, start + 4) for b in range(a + 1, start + 4)
    ]
    chain = [(start + 3, start + 4, 0.55) for start in range(0, 1996, 4)]
    found = clustered(2002, [*groups, *chain, (2000, 2001, 0.9)], max_cluster_size=20)
    assert members(found) == [*(tuple(range(start, start + 4)) for start in range(0, 2000, 4)), (2000, 2001)]
    assert 0 < found.cut_pairs < len(chain)
    assert max(seen) <= 50 and len(seen) >= 40
    assert {pair.doubt for pair in found.conflicts} == {Doubt.SEPARATED}
    assert len(found.conflicts) == len(chain)


def test_no_cluster_outgrows_its_limit_and_it_is_told() -> None:
    judged = [(a, b, 0.9) for a in range(9) for b in range(a + 1, 9)]
    found = clustered(12, [*judged, (9, 10, 0.9)], max_cluster_size=4)
    assert sorted(len(cluster.members) for cluster in found.clusters) == [1, 1, 2, 4, 4]
    by_members = {cluster.members: cluster.is_capped for cluster in found.clusters}
    assert (by_members[9, 10], by_members[11,]) == (False, False)
    assert sum(by_members.values()) == 3
    assert all(pair.doubt is Doubt.SEPARATED for pair in found.conflicts) and len(found.conflicts) == 24
    assert not any(cluster.is_capped for cluster in clustered(9, judged).clusters)


def test_records_that_move_respect_the_limit() -> None:
    for seed in range(10):
        found = clustered(60, random_problem(seed), max_cluster_size=2)
        assert max(len(cluster.members) for cluster in found.clusters) == 2


# Links between two tables -----------------------------------------------------------------------------


def test_one_to_one_takes_the_best_assignment_not_the_best_pair_first() -> None:
    judged = [(0, 2, 0.9), (0, 3, 0.85), (1, 2, 0.85), (1, 3, 0.05)]
    options: dict[str, Any] = {"sides": [0, 0, 1, 1], "cardinality": Cardinality.ONE_TO_ONE}
    found = clustered(4, judged, **options)
    assert members(found) == [(0, 3), (1, 2)]
    assert found.conflicts == (DoubtfulPair(0, 2, 0.9, Doubt.SEPARATED),)
    assert not found.is_approximate


def test_one_to_one_leaves_alone_what_is_below_the_threshold() -> None:
    options: dict[str, Any] = {"sides": [0, 0, 1, 1], "cardinality": Cardinality.ONE_TO_ONE}
    found = clustered(4, [(0, 2, 0.9), (1, 2, 0.6), (1, 3, 0.4), (0, 3, 0.3)], **options)
    assert members(found) == [(0, 2), (1,), (3,)]


def test_one_to_one_joins_nobody_twice_and_beats_the_surest_first() -> None:
    for seed in range(5):
        sides = [number % 2 for number in range(60)]
        judged = [pair for pair in random_problem(seed) if sides[pair[0]] != sides[pair[1]]]
        found = clustered(60, judged, sides=sides, cardinality=Cardinality.ONE_TO_ONE)
        assert {len(cluster.members) for cluster in found.clusters} == {1, 2}
        chosen = {cluster.members for cluster in found.clusters}
        weights = {(a, b): float(np.log(p / (1 - p))) for a, b, p in judged if p >= 0.5}
        greedy, used = 0.0, set[int]()
        for pair in sorted(weights, key=lambda pair: -weights[pair]):
            if not used & set(pair):
                used |= set(pair)
                greedy += weights[pair]
        assert sum(weight for pair, weight in weights.items() if pair in chosen) >= greedy - 1e-9 > 0


def test_a_component_too_large_to_assign_takes_its_surest_pairs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "MAX_ASSIGNED", 3)
    judged = [(0, 2, 0.9), (0, 3, 0.85), (1, 2, 0.85), (4, 5, 0.8)]
    found = clustered(6, judged, sides=[0, 0, 1, 1, 0, 1], cardinality=Cardinality.ONE_TO_ONE)
    assert members(found) == [(0, 2), (1,), (3,), (4, 5)]
    assert found.is_approximate


def test_one_to_many_gives_each_record_of_the_second_table_its_best_of_the_first() -> None:
    judged = [(0, 2, 0.9), (0, 3, 0.8), (1, 3, 0.7), (1, 4, 0.6), (0, 4, 0.3)]
    found = clustered(6, judged, sides=[0, 0, 1, 1, 1, 1], cardinality=Cardinality.ONE_TO_MANY)
    assert members(found) == [(0, 2, 3), (1, 4), (5,)]
    assert found.conflicts == (DoubtfulPair(1, 3, 0.7, Doubt.SEPARATED),)


def test_one_to_many_takes_the_surest_wherever_it_stands() -> None:
    options: dict[str, Any] = {"sides": [0, 0, 1], "cardinality": Cardinality.ONE_TO_MANY}
    assert members(clustered(3, [(0, 2, 0.7), (1, 2, 0.9)], **options)) == [(0,), (1, 2)]


def test_one_to_many_keeps_the_limit_and_turns_to_the_next_best() -> None:
    judged = [(0, 2, 0.9), (0, 3, 0.8), (1, 3, 0.7)]
    options: dict[str, Any] = {"sides": [0, 0, 1, 1], "cardinality": Cardinality.ONE_TO_MANY, "max_cluster_size": 2}
    found = clustered(4, judged, **options)
    assert members(found) == [(0, 2), (1, 3)]
    assert [cluster.is_capped for cluster in found.clusters] == [True, False]


# Confidence -------------------------------------------------------------------------------------------


def test_confidence_of_a_pair_is_its_probability_and_of_a_record_alone_is_one() -> None:
    found = clustered(3, [(0, 1, 0.83)])
    assert [cluster.confidence for cluster in found.clusters] == [0.83, 1.0]


def test_a_rival_lowers_confidence() -> None:
    found = clustered(3, [(0, 1, 0.9), (1, 2, 0.45), (0, 2, 0.01)])
    assert members(found) == [(0, 1), (2,)]
    assert found.clusters[0].confidence < 0.9
    linked = clustered(3, [(0, 1, 0.9), (0, 2, 0.6)], sides=[0, 1, 1], cardinality=Cardinality.ONE_TO_ONE)
    assert linked.clusters[0].confidence == pytest.approx(0.9 * 0.4 / (1 - 0.9 * 0.6), abs=1e-6)
    assert linked.clusters[1].confidence == pytest.approx(0.4)
    assert clustered(2, [(0, 1, 0.4)]).clusters[0].confidence == pytest.approx(0.6)


def test_many_pairs_are_no_surer_than_each_and_a_conflict_inside_lowers_confidence() -> None:
    clique = [(0, 1, 0.9), (1, 2, 0.9), (0, 2, 0.9)]
    assert clustered(3, clique).clusters[0].confidence == pytest.approx(0.9)
    torn = clustered(3, [*clique[:2], (0, 2, 0.3)]).clusters[0].confidence
    odds = np.sqrt(9 * 3 / 7)  # the mean of the log-odds of .9 and .3
    assert torn == pytest.approx(odds / (1 + odds), abs=1e-6)


def test_pairs_that_were_never_compared_lower_confidence_save_where_two_tables_are_linked() -> None:
    found = clustered(3, [(0, 1, 0.9), (0, 2, 0.9)])
    odds = 9 * np.exp(-clustering.MISSING_WEIGHT)
    assert found.clusters[0].confidence == pytest.approx(odds / (1 + odds), abs=1e-6)
    linked = clustered(3, [(0, 1, 0.9), (0, 2, 0.9)], sides=[0, 1, 1], cardinality=Cardinality.ONE_TO_MANY)
    assert linked.clusters[0].confidence == pytest.approx(0.9)


# Questions --------------------------------------------------------------------------------------------


def test_conflicts_are_asked_first_then_the_most_uncertain() -> None:
    judged = [(0, 1, 0.95), (1, 2, 0.9), (0, 2, 0.02), (3, 4, 0.6), (5, 6, 0.48), (7, 8, 0.2), (9, 10, 0.99)]
    asked = clustered(11, judged).questions(10)
    assert [(pair.left, pair.right, pair.doubt) for pair in asked] == [
        (1, 2, Doubt.SEPARATED),
        (5, 6, Doubt.UNCERTAIN),
        (3, 4, Doubt.UNCERTAIN),
    ]


def test_conflicts_come_strongest_first() -> None:
    judged = [(0, 1, 0.95), (1, 2, 0.8), (0, 2, 0.02), (3, 4, 0.95), (4, 5, 0.9), (3, 5, 0.02)]
    assert pairs_of(clustered(6, judged).conflicts) == [(4, 5), (1, 2)]


def test_the_most_uncertain_is_asked_first_wherever_it_stands() -> None:
    judged = [(0, 1, 0.65), (2, 3, 0.6), (4, 5, 0.5), (6, 7, 0.45), (8, 9, 0.35)]
    assert pairs_of(clustered(10, judged).questions(9)) == [(4, 5), (6, 7), (2, 3), (0, 1), (8, 9)]


def test_the_review_band_is_the_callers() -> None:
    judged = [(0, 1, 0.2), (2, 3, 0.7), (4, 5, 0.75)]
    found = clustered(6, judged, review_band=(0.2, 0.7))
    assert set(pairs_of(found.questions(9))) == {(0, 1), (2, 3)}


def test_one_record_is_not_asked_about_again_while_others_are_as_useful() -> None:
    judged = [(0, other, 0.5) for other in range(1, 30)] + [(40 + 2 * n, 41 + 2 * n, 0.5) for n in range(5)]
    asked = clustered(60, judged, threshold=0.6).questions(6)
    assert len(asked) == 6
    assert max(Counter(end for pair in pairs_of(asked) for end in pair).values()) == 1


def test_as_many_questions_as_there_are_and_none_twice() -> None:
    judged = [(0, other, 0.5) for other in range(1, 30)]
    found = clustered(30, judged, threshold=0.6)
    assert len(set(pairs_of(found.questions(12)))) == 12
    assert len(set(pairs_of(found.questions(100)))) == 29
    assert found.questions(0) == []


def test_answered_pairs_are_not_asked_again() -> None:
    found = clustered(4, [(0, 1, 0.5), (2, 3, 0.6)])
    assert pairs_of(found.questions(5, answered=[(1, 0)])) == [(2, 3)]


# Input ------------------------------------------------------------------------------------------------


def test_nothing_gives_nothing_and_one_record_is_one_cluster() -> None:
    empty = clustered(0, [])
    assert (empty.clusters, empty.conflicts, empty.questions(3)) == ((), (), [])
    assert [(one.members, one.confidence) for one in clustered(1, []).clusters] == [((0,), 1.0)]


def test_a_pair_listed_twice_counts_once_with_the_mean() -> None:
    found = clustered(2, [(0, 1, 0.5), (1, 0, 0.9)])
    assert found.clusters[0].confidence == pytest.approx(0.7)
    assert members(clustered(2, [(0, 1, 0.6), (1, 0, 0.2)])) == [(0,), (1,)]


def test_the_mean_of_a_pair_listed_often_does_not_depend_on_their_order() -> None:
    orders = ((0.1, 0.2, 0.3), (0.3, 0.2, 0.1), (0.2, 0.1, 0.3))
    found = {
        clustered(2, [(0, 1, p) for p in order], review_band=(0, 1)).questions(1)[0].probability for order in orders
    }
    assert len(found) == 1 and found.pop() == pytest.approx(0.2)


def test_certain_pairs_decide() -> None:
    found = clustered(3, [(0, 1, 1.0), (1, 2, 0.999), (0, 2, 0.0)])
    assert members(found) == [(0, 1), (2,)]


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        ([(0, 1, 0.5), (2, 2, 0.5)], "pair 1 joins a record with itself"),
        ([(0, 1, 1.01)], "pair 0 has a probability"),
        ([(0, 1, -0.01)], "pair 0 has a probability"),
        ([(0, 1, 0.5), (0, 2, float("nan"))], "pair 1 has a probability"),
        ([(0, 3, 0.5)], "pair 0 names a record that is not one of the 3"),
        ([(-1, 0, 0.5)], "pair 0 names a record"),
    ],
)
def test_wrong_pairs_are_refused_by_number(judged: list[Judged], words: str) -> None:
    with pytest.raises(InputError, match=words):
        clustered(3, judged)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match="as many left"):
        cluster_pairs(2, [0], [1], [0.5, 0.6], ["a", "b"])
    with pytest.raises(InputError, match="2 records need as many keys, not 1"):
        cluster_pairs(2, [0], [1], [0.5], ["a"])
    with pytest.raises(InputError, match="integers"):
        cluster_pairs(2, [0.5], [1], [0.5], ["a", "b"])
    with pytest.raises(OptionError, match="as many table numbers"):
        clustered(2, [], sides=[0], cardinality=Cardinality.ONE_TO_ONE)


def test_links_within_one_table_or_of_a_third_are_refused() -> None:
    with pytest.raises(InputError, match="pair 0 lies within one table"):
        clustered(3, [(0, 1, 0.5)], sides=[0, 0, 1], cardinality=Cardinality.ONE_TO_ONE)
    with pytest.raises(OptionError, match="tables 0 and 1 only"):
        clustered(2, [], sides=[0, 2], cardinality=Cardinality.ONE_TO_MANY)
    assert members(clustered(2, [(0, 1, 0.9)], sides=[0, 0])) == [(0, 1)]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"review_band": (0.7, 0.3)}, "review_band"),
        ({"review_band": (0.3, 1.1)}, "review_band"),
        ({"review_band": (float("nan"), 0.5)}, "review_band"),
        ({"max_cluster_size": 1}, "max_cluster_size"),
        ({"cardinality": Cardinality.ONE_TO_ONE}, "cardinality"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(OptionError) as caught:
        ClusteringOptions(**options)
    assert caught.value.field == field
