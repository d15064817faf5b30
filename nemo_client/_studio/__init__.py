"""Upload, generate, edit, export as steps that are carried out once and found again."""
