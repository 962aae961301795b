# One replicate of a bootstrap: how sure are we of the effect of flipper length on body mass?
#   offload run --array 1-20 bootstrap.R

replicate <- as.integer(Sys.getenv("OFFLOAD_TASK", "1"))
set.seed(replicate)
penguins <- na.omit(read.csv("penguins.csv"))
drawn <- penguins[sample(nrow(penguins), replace = TRUE), ]
slope <- coef(lm(body_mass_g ~ flipper_length_mm + species, data = drawn))[["flipper_length_mm"]]
cat(sprintf("replicate %d: %.1f g per mm of flipper\n", replicate, slope))
write.csv(data.frame(replicate, slope), "slope.csv", row.names = FALSE)
