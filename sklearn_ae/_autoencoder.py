"""The autoencoder."""

from collections.abc import Callable
from typing import Any

from numpy.random import RandomState
from numpy.typing import ArrayLike
from torch import nn

from sklearn_ae._base import BaseAutoencoder
from sklearn_ae.pretraining import RBMPretraining, StackedDenoisingPretraining


class AutoencoderTransformer(BaseAutoencoder):
    """Nonlinear dimension reduction that starts at PCA and is kept only where it beats PCA.

    An encoder squeezes each row into `n_components` numbers, and a decoder rebuilds the row from
    them. Both are PCA plus a learned correction, trained by skorch on torch to the least
    reconstruction error on held-out rows. As with PCA, the first numbers of a code are a code of
    their own: one fit serves every size (`truncated`). ("Transformer" is scikit-learn's word for an
    estimator with `fit` and `transform`.)

    Scale the columns first, as for PCA.

    Parameters
    ----------
    n_components : int, float or None, default=None
        Size of the code (the bottleneck). None is as many as there are rows or columns, as for PCA,
        or `max_components` if these are fewer; a float in (0, 1) the smallest size that explains
        this share of the variance of the held-out rows (of training rows without `early_stopping`;
        of all rows where PCA is beaten at no size). It may exceed the number of
        columns; with ``init="pca"`` what is more than the directions of the data is then zero.
    max_components : int or None, default=None
        Size of the code that is trained, of which the first `n_components` numbers are used. None
        trains what is used: for a share as many as PCA needs for it, and without a size as many as
        leave PCA one percent of the variance; larger codes are PCA's. One training serves codes of
        every size: see `truncated`, and `memory` for searches.
    hidden_layer_sizes : array-like of int, int or "auto", default="auto"
        Widths of the encoder's hidden layers; the decoder has the same in reverse order. ``()``
        is allowed. With "conv" channels, each layer halving the image; with "attention" the size
        of a token, once a block, all the same. "auto" is (256, 256), (16, 32, 64, 128) as far as
        the image can be halved, or (32, 32).
    activation : {"identity", "logistic", "tanh", "relu", "elu", "gelu", "silu"} or callable, \
            default="gelu"
        What follows each hidden layer; a callable makes a ``torch.nn.Module``.
    init : {"pca", "random"}, default="pca"
        "pca" starts at the principal components and learns corrections to them, and falls back
        to PCA itself where nothing better is found. "random" is the classic autoencoder.
    encoder : {"dense", "conv", "attention"}, torch.nn.Module or callable, default="dense"
        The network that encodes. "conv" has strided convolutions over the image that a row holds;
        "attention" takes each cell, or each patch of the image, as a token. A module is copied in
        `fit`, what is frozen stays so; a callable ``(n_features, n_components) -> module`` makes
        one. With ``init="pca"`` it is the correction to the linear path. It sees rows centred and
        scaled by one number.
    decoder : None, {"dense", "conv", "linear"}, torch.nn.Module or callable, default=None
        The network that decodes; a callable is given ``(n_components, n_features)``. None mirrors
        "dense" and "conv", is "linear" for "attention" with ``init="random"``, else "dense".
    image_shape : array-like of 3 int or None, default=None
        Channels, height and width of the image that a row holds, in this order; one of them may
        be -1, what the columns leave for it. An image of height 1 is a profile, as of a spectrum.
    tied_weights : bool, default=False
        Whether the decoder's layers are the transposes of the encoder's, with their own biases.
    pretraining : {"rbm", "denoising"}, RBMPretraining, StackedDenoisingPretraining or None, \
            default=None
        Pretrains a dense network layer by layer, as restricted Boltzmann machines
        (``activation="logistic"``) or as denoising autoencoders; needs ``init="random"``.
    whiten : bool, default=False
        Whether each number of the code is scaled to mean 0 and variance 1 over the training rows,
        of many over some; `inverse_transform` undoes it.
    code_layer : int or None, default=None
        Hidden layer, counted from 0 through encoder and decoder, whose activations `transform`
        returns in place of the code. The network is then kept even where PCA is not beaten.
    loss : {"squared_error", "absolute_error", "huber", "binary_log_loss"} or torch.nn.Module, \
            default="squared_error"
        What training minimizes. Huber's loss turns linear at 1.345 times the root mean square of
        what PCA leaves, or with ``init="random"`` of the centred rows. "binary_log_loss" is the
        cross-entropy of a logistic output, for rows in [0, 1]. A module ``(prediction, target) ->
        scalar``, a mean over the rows, is given rows in the units of `X`, in float64.
    optimizer : {"adam", "adamw", "sgd"} or callable, default="adam"
        A callable ``params -> torch.optim.Optimizer`` sets its own rate and decay, as in
        ``functools.partial(torch.optim.RMSprop, lr=1e-4)``. One rate serves all weights: with
        ``init="pca"`` the linear path learns a change to PCA in units of what PCA leaves.
    learning_rate_init : float, default=3e-3
        Learning rate at the start; it is halved after each `n_iter_no_change` / 3 epochs
        without progress, unless `callbacks` has a ``skorch.callbacks.LRScheduler``.
    weight_decay : float, default=0.0
        As in torch's optimizers; with ``init="pca"`` it pulls towards PCA.
    batch_size : int or "auto", default="auto"
        Rows a step. "auto" is a sixteenth of the training rows, but between 16 and 128.
    max_iter : int, default=60
        Most epochs; where `n_iter_` is as many, more may be better. 0 does not train: with
        ``init="pca"`` a dense decoder, neither tied nor of probabilities, is solved in closed form;
        others stay as they were drawn or pretrained.
    early_stopping : bool, default=True
        Whether to hold rows out, drawn at random, to choose by their error: when to stop, which
        weights to keep, and whether to fall back to PCA. Without, the training loss says when to
        stop and which weights to keep, and nothing guards against PCA being better.
    validation_fraction : float, default=0.1
        Share of the rows that are held out, 20,000 of them at most.
    n_iter_no_change : int, default=25
        Epochs without progress after which training stops. An epoch of more than 250 batches counts
        as several, but as no more than a third of these.
    tol : float, default=1e-4
        Progress is a loss below the best one by more than `tol` times that. An epoch that counts as
        several has to make that for each of them.
    transform_max_iter : int, default=5
        Steps of gradient descent by which `transform` improves each code that the encoder gives:
        a step is taken where the decoder then rebuilds the row with less squared error, whatever
        `loss` is. 0 leaves the codes alone. What `fit` was told holds.
    memory : str, object with the joblib.Memory interface or None, default=None
        Where trainings are cached, by their rows and parameters; with `max_components` by all but
        `n_components`, so that a search over it trains once for each fold (of jobs that run at once
        each may train). A path is a folder. What is found there is not trained: callbacks see
        nothing of it. With ``random_state=None`` any earlier training of these rows will do. A
        training that goes on from another (`warm_start`) is not cached.
    warm_start : bool, default=False
        Whether `fit` goes on from the last solution, in its units, to one that is no worse on the
        rows that choose; of as many rows, the same are held out again. After falling back to PCA it
        starts anew.
    callbacks : list of skorch callbacks or None, default=None
        Loggers, checkpoints, schedulers; copied in `fit`, but for those that cannot be.
    device : str, default="auto"
        "auto" is CUDA if there is, else the CPU; or a torch device string of either.
    random_state : int, RandomState instance or None, default=None
        Seeds the split, the weights, the order of the rows.
    verbose : int, default=0
        1 prints an epoch a line.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where `X` had names that are all strings.
    n_components_ : int
        Size of the code that is used.
    mean_ : ndarray of shape (n_features,)
        Mean of the rows of `fit`, or of all calls of `partial_fit`.
    n_samples_, n_samples_seen_ : int
        Their number; with `partial_fit`, of the rows of all calls.
    components_ : ndarray of shape (n_components, n_features)
        What each number of the code changes: the mean change of a reconstruction with it, over the
        codes of held-out rows, before any whitening; PCA's own where `is_pca_`. It is local: a
        curved code changes other rows otherwise.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        What each number adds to the share of the variance of the held-out rows (of training rows
        without `early_stopping`) that is explained: that of codes of its size, less that of codes
        of one number less. PCA's, of all rows, where `is_pca_`. It and the next three need an
        order: ``init="pca"`` and ``code_layer=None``.
    explained_variance_ : ndarray of shape (n_components,)
        These shares, of the variance of the rows of `fit`.
    singular_values_ : ndarray of shape (n_components,)
        Roots of the sums of squares over the rows of `fit` that belong to these variances.
    noise_variance_ : float
        Variance that is not explained, for each direction that is left; 0 where none is.
    n_iter_ : int
        Epochs trained; after `partial_fit` passes of the network that is used, not calls; 1 where
        there was nothing to train but the closed form to solve.
    best_iter_ : int
        Epoch whose weights are kept, but where PCA is; 0 is the start.
    loss_curve_ : list of float
        Training loss of each epoch, in units of what PCA of the size that is trained leaves (its
        mean square, or the root of it for "absolute_error"), with ``init="random"`` of the variance
        instead; in nats a cell with "binary_log_loss"; as a module gives it. Of ordered codes it is
        the mean over the whole code and the prefix that a step draws, weighed by PCA's loss.
    validation_loss_curve_ : list of float or None
        Loss on the held-out rows after each epoch; None without `early_stopping`, and NaN after a
        pass of `partial_fit` that was not judged. Of ordered codes
        it is the mean over the sizes 1, 2, 4, ... and the whole, each weighed so that PCA's loss
        counts the same at every size.
    best_loss_ : float
        Loss of the model that is used, its steps included, on the held-out rows; without
        `early_stopping` on the training rows, of many on some. After the closed form it may be far
        below the curves.
    pca_loss_ : float or None
        Loss of PCA with as many components on the held-out rows, in the same units; None without
        `early_stopping`. For "binary_log_loss", here and in `best_loss_`, PCA's values are clipped
        to [0.01, 0.99]; the rows that it gives, to [0, 1].
    pca_score_, score_ : float or None
        Share of the variance of the held-out rows that PCA with as many components explains, and
        that this model explains; None without `early_stopping`. Of a size below the one that is
        trained, `score_` and `best_loss_` are measured on some of these rows, or lie between two
        sizes that are. The rows have chosen the model: an honest figure takes rows that `fit` has
        not seen, and `score`. This PCA is that of the rows that are not held out, and its rows are
        not clipped for "binary_log_loss": `score` of those that it gives is somewhat higher.
    is_pca_ : bool
        Whether codes of `n_components_` numbers are PCA's, of all rows: at this size nothing beat
        PCA on the held-out rows by more than the sampling error, or PCA leaves next to nothing.
        That is so of the whole code of ``n_components=None``, but for ``init="random"``, a
        `code_layer` or a smaller `max_components`.
    batch_size_ : int
        Rows a step.
    device_ : str
        Where the network is.
    module_ : torch.nn.Module
        What encodes (its steps included) and decodes: a float64 copy of the network, with
        ``.encoder`` and ``.decoder``, in the units of `X`. Of float32 rows, another in float32.
    net_ : skorch.NeuralNet
        What trained the network, with its ``history``. ``net_.module_`` is the network itself (or
        PCA): for centred and scaled rows, in float32 (float64), its codes as they are encoded.

    See Also
    --------
    DenoisingAutoencoderTransformer : Learns to rebuild clean rows from corrupted ones.
    sklearn.decomposition.PCA : The linear case.

    Notes
    -----
    With ``init="pca"``, ``e(x) = V (x - m) + c * f(x)`` and ``d(z) = m + V.T z + s * g(z)``: V and
    its transpose start at the principal components, m at the mean, f and g at zero. Before the
    first step the network is PCA (Baldi and Hornik, 1989, show that a linear autoencoder can do no
    better). s is the root mean square of PCA's residual, so that the last percent of variance is as
    easy to learn as the first; c is what moves codes by as much. Far outside the training rows f
    and g fade to zero, and the network is linear. The codes are in the units of `X` and in PCA's
    order; unlike PCA's they need not be quite centred or uncorrelated. What `e` gives is where
    `transform` starts from: an encoder that has to serve all rows is not at its best on each of
    them (Cremer et al., 2018).

    Each step rebuilds its rows from the whole code and from a prefix of it, of a size that is drawn
    anew (nested dropout, Rippel et al., 2014, draws one for each row). Then the decoder's last
    layer is solved for some sizes, and for every size the better of network and PCA is kept. With
    ``transform_max_iter=0`` the codes of a smaller size are the first numbers of those of a larger
    one, where both are of the network and not whitened; steps improve those of each size by
    themselves.

    The same rows and `random_state` give the same bits on the same machine with the same number of
    threads; elsewhere the same up to what is rounded, and to what training makes of that.

    References
    ----------
    G. E. Hinton, R. R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks",
    Science 313:504, 2006.

    P. Baldi, K. Hornik, "Neural Networks and Principal Component Analysis: Learning from Examples
    Without Local Minima", Neural Networks 2:53, 1989.

    O. Rippel, M. A. Gelbart, R. P. Adams, "Learning Ordered Representations with Nested Dropout",
    ICML 2014.

    M. Al-Digeil et al., "PCA-Boosted Autoencoders for Nonlinear Dimensionality Reduction in Low
    Data Regimes", arXiv:2205.11673, 2022 (a start at PCA).

    C. Cremer, X. Li, D. Duvenaud, "Inference Suboptimality in Variational Autoencoders",
    ICML 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(n_components=2, random_state=0).fit(X)
    >>> autoencoder.transform(X).shape
    (150, 2)
    >>> autoencoder.score_ >= autoencoder.pca_score_
    True
    >>> autoencoder.truncated(1).transform(X).shape
    (150, 1)
    """

    def __init__(
        self,
        n_components: int | float | None = None,
        *,
        max_components: int | None = None,
        hidden_layer_sizes: Any = "auto",
        activation: str | Callable[[], nn.Module] = "gelu",
        init: str = "pca",
        encoder: str | nn.Module | Callable[[int, int], nn.Module] = "dense",
        decoder: str | nn.Module | Callable[[int, int], nn.Module] | None = None,
        image_shape: ArrayLike | None = None,
        tied_weights: bool = False,
        pretraining: str | RBMPretraining | StackedDenoisingPretraining | None = None,
        whiten: bool = False,
        code_layer: int | None = None,
        loss: str | nn.Module = "squared_error",
        optimizer: str | Callable = "adam",
        learning_rate_init: float = 3e-3,
        weight_decay: float = 0.0,
        batch_size: int | str = "auto",
        max_iter: int = 60,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 25,
        tol: float = 1e-4,
        transform_max_iter: int = 5,
        memory: Any = None,
        warm_start: bool = False,
        callbacks: list | None = None,
        device: str = "auto",
        random_state: int | RandomState | None = None,
        verbose: int = 0,
    ):
        self.n_components = n_components
        self.max_components = max_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.init = init
        self.encoder = encoder
        self.decoder = decoder
        self.image_shape = image_shape
        self.tied_weights = tied_weights
        self.pretraining = pretraining
        self.whiten = whiten
        self.code_layer = code_layer
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.transform_max_iter = transform_max_iter
        self.memory = memory
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
