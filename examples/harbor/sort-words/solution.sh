#!/bin/bash
tr ' A-Z' '\na-z' < /app/words.txt | sort -u > /app/sorted.txt
