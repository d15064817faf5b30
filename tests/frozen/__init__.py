"""What users, workflows and programs hold on to, as data: it must come out the same whatever is rebuilt inside."""
