"""The comparison of end-to-end systems, made by experiment: what a method declares is measured in the simulator."""
