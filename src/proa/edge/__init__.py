"""The edge: a routing plan compiled for a real proxy, and the agent that keeps that proxy running and up to date."""
