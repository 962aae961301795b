# offload: cpus=1 memory=1Gi
# What makes a penguin heavy? A linear model, its cross-validated error, a table and a plot.
#   offload run body_mass.R --folds 10

arguments <- commandArgs(trailingOnly = TRUE)
at <- match("--folds", arguments)
folds <- if (is.na(at)) 10 else as.integer(arguments[at + 1])

penguins <- na.omit(read.csv("penguins.csv"))
formula <- body_mass_g ~ species + sex + flipper_length_mm + bill_length_mm
fit <- lm(formula, data = penguins)

set.seed(1)
fold <- sample(rep_len(seq_len(folds), nrow(penguins)))
error <- vapply(seq_len(folds), function(k) {
  held_out <- penguins[fold == k, ]
  missed <- predict(lm(formula, data = penguins[fold != k, ]), held_out) - held_out$body_mass_g
  rmse <- sqrt(mean(missed^2))
  message(sprintf("fold %2d of %d: error %.0f g", k, folds, rmse))
  rmse
}, numeric(1))

estimates <- coef(summary(fit))
table <- data.frame(
  term = rownames(estimates),
  grams = round(estimates[, "Estimate"], 1),
  se = round(estimates[, "Std. Error"], 1),
  p = signif(estimates[, "Pr(>|t|)"], 2)
)
cat("\nBody mass of", nrow(penguins), "penguins, in grams\n\n")
print(table, row.names = FALSE)
cat(sprintf("\nR squared %.2f, error on unseen penguins %.0f g\n", summary(fit)$r.squared, mean(error)))
write.csv(table, "body_mass.csv", row.names = FALSE)

png("body_mass.png", width = 900, height = 600, res = 120)
par(mar = c(4.5, 4.5, 1, 1))
colours <- c(Adelie = "#e07b39", Chinstrap = "#8e5ea2", Gentoo = "#2a7f86")
plot(fitted(fit), penguins$body_mass_g,
  col = colours[penguins$species], pch = 19, cex = 0.7, bty = "n",
  xlab = "predicted body mass (g)", ylab = "measured body mass (g)"
)
abline(0, 1, lty = 2, col = "grey40")
legend("topleft", names(colours), col = colours, pch = 19, bty = "n")
invisible(dev.off())
