"""What a run is: its settings, size, request, command and provenance; not how it is trained."""
