"""The room of the methods: one folder per end-to-end system, all behind one door (``door``, ``events``, ``effects``)."""
