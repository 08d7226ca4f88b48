"""mailseal closes the finding "cleartext logins permitted": find, prove, plan, seal, verify, watch.

This file holds the version alone and imports nothing: the agent floor imports it on hosts that have
only the standard library, and the build reads it.
"""

__version__ = "0.1.0"
