"""Composition: the parts of one region are made here and told of one another. Nothing in it runs or decides.

Each module makes one group of parts out of those that come before it; `runtime.region` puts the groups together. An app
that declares nothing for a part does not have it, and does not load its module either.
"""
