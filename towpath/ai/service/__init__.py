"""Use cases of AI jobs: questions accepted, answered by the agent and shown; connections and semantic models."""
