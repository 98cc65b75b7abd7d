#!/bin/sh
# Downloads the Cornell playlist data set (Chen et al. 2012) into a folder.
set -eu
folder=${1:?usage: sh cornell.sh FOLDER}
mkdir -p "$folder"
curl --fail --location --proto '=https' --output "$folder/dataset.tar.gz" \
	https://www.cs.cornell.edu/~shuochen/lme/dataset.tar.gz
tar -xzf "$folder/dataset.tar.gz" -C "$folder"
rm "$folder/dataset.tar.gz"
ls "$folder/dataset"
