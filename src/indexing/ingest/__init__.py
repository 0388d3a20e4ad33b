"""From a source tree into the catalog and the text index: the job, its scan, its workers, its feed."""
