"""The namespace stage: all that one kernel can show, in network namespaces."""

import netns_devices
import netns_earlier
import netns_faults
import netns_install
import netns_paths
import netns_routes
from netns_world import World

SCENARIOS = [scenario for module in (netns_paths, netns_faults, netns_install, netns_earlier, netns_routes,
                                    netns_devices)
             for scenario in module.SCENARIOS]
world = World
