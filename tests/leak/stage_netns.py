"""The namespace stage: all that one kernel can show, in network namespaces."""

import netns_faults
import netns_paths
import netns_routes
from netns_world import World

SCENARIOS = [*netns_paths.SCENARIOS, *netns_faults.SCENARIOS, *netns_routes.SCENARIOS]
world = World
