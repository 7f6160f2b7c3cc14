"""The durable queue: jobs, their store, the policy that orders them and the worker that runs them.

Knows nothing of Discord: a job's origin is data that only the delivery understands.
"""
