"""The namespace stage: all that one kernel can show, in network namespaces."""

import netns_paths
from netns_world import World

SCENARIOS = [*netns_paths.SCENARIOS]
world = World
