#!/usr/bin/env bash
# Makes the two demo videos with ffmpeg. They are in the repository; this is how they were made.
# Each shows a clock and a frame counter, so that a seek can be seen, and beeps every second.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p videos

make_video() { # name, picture, tone in Hz, seconds
    local label="font=monospace:fontsize=22:fontcolor=white:x=20"
    ffmpeg -hide_banner -loglevel error -y \
        -f lavfi -i "$2" \
        -f lavfi -i "sine=frequency=$3:beep_factor=2:sample_rate=44100" \
        -t "$4" \
        -filter_complex "[0:v]drawbox=y=ih-72:h=72:w=iw:color=black@0.65:t=fill,
            drawtext=$label:y=h-60:text='$1.mp4',
            drawtext=$label:y=h-32:text='%{pts\\:hms}   frame %{n}',
            format=yuv420p[v]" \
        -map '[v]' -map 1:a \
        -c:v libx264 -profile:v baseline -level 3.0 -preset slow -g 50 -b:v 480k -maxrate 700k -bufsize 1400k \
        -c:a aac -b:a 64k -ac 1 \
        -map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact \
        -movflags +faststart -f mp4 "videos/$1.part"
    mv "videos/$1.part" "videos/$1.mp4"
}

make_video first "testsrc2=size=640x360:rate=25" 440 45
make_video second "life=size=160x90:rate=25:mold=20:ratio=0.2:seed=7:life_color=#7fd6c2:death_color=#3c4f76:mold_color=#16202e,scale=640:360:flags=neighbor" 660 40
ls -l videos
