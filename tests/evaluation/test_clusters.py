from evaluation.clusters import measure_clustering
from tests.evaluation.embedded import named, noise, perfect


def measured(embedded):
    rows = measure_clustering(named(embedded), 0, lambda _: None)
    return {(row.method, row.cut_from): row for row in rows}


def test_linkage_finds_perfect_clusters_again():
    found = measured(perfect(20, 6))["linkage", "other identities"]

    assert found.agreement.ari.value == 1
    assert found.clusters == found.identities == 10


def test_linkage_does_not_depend_on_the_order_and_its_spread_says_so():
    found = measured(noise(30, 6, spread=0.7))

    low, high = found["linkage", "other identities"].agreement.spread
    assert low == high == found["linkage", "other identities"].agreement.ari.value
    low, high = found["leader", "other identities"].agreement.spread
    assert low < high


def test_three_identities_are_not_clustered():
    assert measured(perfect(3)) == {}
