"""The namespace stage: all that can be shown on one kernel, in network namespaces."""

from campaign import Scenario

SCENARIOS: list[Scenario] = []


def world():
    return None
