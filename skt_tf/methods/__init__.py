"""What the papers minimise, stage by stage; knows no optimizer and no folder."""
