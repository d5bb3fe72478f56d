"""The fields of an object: merge rules, ownership, differences, and the effect of a change."""
