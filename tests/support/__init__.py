"""What several tests share: a manual clock, links inside one process, regions without processes."""
