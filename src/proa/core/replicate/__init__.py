"""How rows and commits travel between regions: stamps and versions, merges, the journal, the cut."""
