#!/bin/bash
cat /data/logs/*.log |
    awk '$3 == 200 {sum[$2] += $4; n[$2]++} END {for (p in sum) print sum[p] / n[p], p}' |
    sort -rn | head -1 | cut -d ' ' -f 2 > /app/answer.txt
