"""Offline map building, paper section 3.1.1: tour → keyframes → features → pairs → SfM → scale → graph → landmarks → co-visibility → artefacts."""
