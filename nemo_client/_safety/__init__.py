"""What keeps secrets, files and addresses safe; imports nothing of ours."""
