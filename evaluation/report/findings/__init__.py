"""What a page says: functions of arrays, from the codes and from what each metric returned."""
