"""What a member sees and touches, in a simulated Discord."""
